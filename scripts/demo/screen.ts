const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const

/** Gives a text a color, or leaves it as it is. */
export type Paint = (color: keyof typeof CODES, text: string) => string

/** Leaves every text as it is. */
export const plain: Paint = (_color, text) => text

const colored: Paint = (color, text) => `\x1b[${CODES[color]}m${text}\x1b[0m`

/** What is drawn over and over: its lines at an instant, in milliseconds since the epoch. */
type Draw = (now: number, paint: Paint) => string[]

const REDRAW_MS = 50
/** No line is longer. */
const WIDTH = 80

/** Standard output: redrawn in place on a terminal, plain lines anywhere else. */
export class Screen {
  readonly #out: NodeJS.WriteStream
  readonly paint: Paint

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
    this.paint = out.isTTY && !process.env.NO_COLOR ? colored : plain
  }

  /** Whether `height` lines can be redrawn in place: on a terminal where they fit. */
  isLive(height: number): boolean {
    return this.#out.isTTY === true && height < this.#out.rows && this.#out.columns >= WIDTH
  }

  print(...lines: string[]): void {
    this.#out.write(lines.map((line) => `${line}\n`).join(''))
  }

  heading(text: string): void {
    this.print('', this.paint('bold', `── ${text} ${'─'.repeat(Math.max(0, 75 - text.length))}`), '')
  }

  /** Draw `height` lines again and again until `work` ends, then a last time; without a terminal only that. */
  async whileDrawing<T>(height: number, draw: Draw, work: () => Promise<T>): Promise<T> {
    if (!this.isLive(height)) {
      const result = await work()
      this.print('', ...draw(Date.now(), this.paint))
      return result
    }
    this.print(...draw(Date.now(), this.paint))
    const redraw = () => this.#again(height, draw)
    const timer = setInterval(redraw, REDRAW_MS)
    try {
      return await work()
    } finally {
      clearInterval(timer)
      redraw()
    }
  }

  #again(height: number, draw: Draw): void {
    const lines = draw(Date.now(), this.paint).map((line) => `\x1b[2K${line}\n`)
    this.#out.write(`\x1b[${height}A${lines.join('')}`)
  }
}
