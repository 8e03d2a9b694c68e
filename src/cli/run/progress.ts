import { MultiBar, type SingleBar } from 'cli-progress'
import type { StreamEvent } from '../../engine/engine.ts'
import { isCompletion } from '../../store/render.ts'
import type { Io } from '../io.ts'
import { headOf } from './report.ts'

const ROWS = ['queued', 'running', 'done', 'failed'] as const
type Row = (typeof ROWS)[number]

/** How many jobs of a batch are where, drawn as bars on a terminal; on anything else nothing is drawn or counted. */
export class Progress {
  readonly #bars: MultiBar | null
  readonly #rows = new Map<Row, SingleBar>()
  readonly #running = new Set<number>()
  readonly #counts: Record<Row, number> = { queued: 0, running: 0, done: 0, failed: 0 }
  #total = 0
  #closed = false

  constructor(stream: Io['stderr']) {
    this.#bars = stream.isTTY ? newBars(stream) : null
  }

  /** Writes above the bars, when `stdout` is a terminal too and so very likely the same one; else null. */
  sharedWith(stdout: Io['stdout']): ((text: string) => void) | null {
    const bars = this.#bars
    return bars !== null && stdout.isTTY ? (text) => void bars.log(text) : null
  }

  /** Take note of an event of the batch's log. */
  count(event: StreamEvent): void {
    if (this.#bars === null || !event.type.startsWith('job.')) return
    this.#move(event.type, headOf(event).index)
    this.#draw(this.#bars)
  }

  /** Draw a last time and leave the terminal alone. May be called twice. */
  [Symbol.dispose](): void {
    if (this.#closed || this.#bars === null) return
    this.#closed = true
    // `stop` would drop the lines that are still to go above the bars.
    this.#bars.update()
    this.#bars.stop()
  }

  #move(type: string, index: number): void {
    const counts = this.#counts
    if (type === 'job.queued') {
      this.#total++
      counts.queued++
    } else if (type === 'job.started') {
      this.#running.add(index)
      counts.queued--
      counts.running++
    } else if (isCompletion(type)) {
      if (this.#running.delete(index)) counts.running--
      else counts.queued--
      if (type === 'job.succeeded') counts.done++
      else counts.failed++
    }
  }

  #draw(bars: MultiBar): void {
    for (const name of ROWS) {
      const row = this.#rows.get(name) ?? bars.create(this.#total, 0, { row: name.padEnd(7) })
      this.#rows.set(name, row)
      row.setTotal(this.#total)
      row.update(this.#counts[name])
    }
  }
}

function newBars(stream: Io['stderr']): MultiBar {
  return new MultiBar({
    stream,
    format: '{row} [{bar}] {value}/{total}',
    hideCursor: true,
    // Lines that go above the bars may be longer than the terminal is wide.
    linewrap: null,
    // Signals are ours: the batch is cancelled first.
    gracefulExit: false,
    emptyOnZero: true,
    // A line above moves the bars down, those that have not changed as well.
    forceRedraw: true,
  })
}
