/** An element, with its attributes; `content` is SVG already. */
export function element(name: string, attributes: Record<string, string | number>, content?: string): string {
  const told = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(pixels(value))}"`)
  return content === undefined ? `<${name}${told.join('')}/>` : `<${name}${told.join('')}>${content}</${name}>`
}

/** Words at a place. */
export function text(words: string, attributes: Record<string, string | number>): string {
  return element('text', attributes, escaped(words))
}

/** A straight line. */
export function line(x1: number, y1: number, x2: number, y2: number, className: string): string {
  return element('line', { x1, y1, x2, y2, class: className })
}

/** How many colours lines may have before they come again. */
export const COLOURS = 6

/** A document of its own, with colours for a light and for a dark page. */
export function document(width: number, height: number, title: string, parts: readonly string[]): string {
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: 'img',
  }
  return `${element('svg', attributes, ['', element('title', {}, escaped(title)), STYLE, ...parts, ''].join('\n'))}\n`
}

const STYLE = `<style>
:root { --ink: #1f2328; --soft: #59636e; --grid: #d1d9e0; --page: #ffffff; --ours: #0969da; --rival: #8c959f; --target: #cf222e;
  --c0: #0969da; --c1: #bc4c00; --c2: #1a7f37; --c3: #8250df; --c4: #bf3989; --c5: #6e7781 }
@media (prefers-color-scheme: dark) { :root { --ink: #f0f6fc; --soft: #9198a1; --grid: #3d444d; --page: #0d1117; --ours: #4493f8; --rival: #656c76;
  --target: #f85149; --c0: #4493f8; --c1: #db6d28; --c2: #3fb950; --c3: #ab7df8; --c4: #db61a2; --c5: #9198a1 } }
.page { fill: var(--page) } text { fill: var(--ink); font: 12px system-ui, sans-serif } .title { font-size: 15px; font-weight: 600 }
.soft { fill: var(--soft) } .end { text-anchor: end } .middle { text-anchor: middle } .grid { stroke: var(--grid) } .whisker { stroke: var(--ink) }
.ours { fill: var(--ours) } .rival { fill: var(--rival) } .target { stroke: var(--target); stroke-width: 2; stroke-dasharray: 4 2 }
.line { fill: none; stroke-width: 2 } ${Array.from({ length: COLOURS }, (_, i) => `.s${i} { stroke: var(--c${i}) } .f${i} { fill: var(--c${i}) }`).join(' ')}
</style>`

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

/** A tenth of a pixel is all that is seen. */
function pixels(value: string | number): string {
  return typeof value === 'number' ? `${Math.round(value * 10) / 10}` : value
}
