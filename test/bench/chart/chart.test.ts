import { describe, expect, it } from 'vitest'
import { chart } from '../../../bench/chart/chart.ts'
import { element, text } from '../../../bench/chart/svg.ts'
import { compared, curved, outcome } from '../support.ts'

/** The attributes of each element of a class. */
function elements(svg: string, name: string, className: string): Record<string, string>[] {
  const all = svg.match(new RegExp(`<${name} [^>]*>`, 'g')) ?? []
  const attributes = all.map((tag) =>
    Object.fromEntries(Array.from(tag.matchAll(/([\w-]+)="([^"]*)"/g), ([, key, value]) => [key, value])),
  )
  return attributes.filter((each) => each.class?.split(' ').includes(className))
}

describe('a chart of bars', () => {
  const svg = chart(compared())

  it('is as long as the median, in one measure for all of a unit', () => {
    const [loop] = elements(svg, 'rect', 'rival')
    const [gatherd] = elements(svg, 'rect', 'ours')

    expect(Number(gatherd.width) / Number(loop.width)).toBeCloseTo(0.75, 1)
  })

  it('draws what has a target as ours, and the target where it lies', () => {
    const [loop] = elements(svg, 'rect', 'rival')
    const [target] = elements(svg, 'line', 'target')
    const share = (Number(target.x1) - Number(loop.x)) / Number(loop.width)

    expect(share).toBeCloseTo(0.7, 1)
    expect(elements(svg, 'rect', 'ours')).toHaveLength(2)
    expect(elements(svg, 'rect', 'rival')).toHaveLength(1)
  })

  it('has whiskers from the least to the greatest round, where there are several', () => {
    expect(elements(svg, 'line', 'whisker')).toHaveLength(9)
    const { series } = compared()
    const single = outcome({ series: series.map((each) => ({ ...each, figures: each.figures.slice(0, 1) })) })

    expect(elements(chart(single), 'line', 'whisker')).toHaveLength(0)
  })

  it('has a panel for each unit', () => {
    expect(svg).toContain('>jobs/s</text>')
    expect(svg).toContain('>ms</text>')
  })

  it('says what it is and how to have it again', () => {
    expect(svg).toContain('<title>P1: fetches a second</title>')
    expect(svg).toContain('npm run bench -- --only P1 --write')
  })

  it('has colours for a dark page', () => {
    expect(svg).toContain('prefers-color-scheme: dark')
  })

  it('keeps its place for what has no figures', () => {
    const empty = chart(outcome({ series: [{ name: 'nothing', unit: 'ms', figures: [] }] }))

    expect(empty).toContain('>nothing</text>')
    expect(empty).not.toContain('NaN')
  })
})

describe('a chart of curves', () => {
  const svg = chart(curved())

  it('has a line for each, through its points in their order', () => {
    const paths = elements(svg, 'path', 'line')
    const xs = paths.map(({ d }) => Array.from(d.matchAll(/[ML]([\d.]+) /g), ([, x]) => Number(x)))

    expect(paths.map((path) => path.class)).toEqual(['line s0', 'line s1'])
    for (const each of xs) expect(each).toEqual(each.toSorted((a, b) => a - b))
  })

  it('has sizes that are far apart at equal distances', () => {
    const [path] = elements(svg, 'path', 'line')
    const [a, b, c] = Array.from(path.d.matchAll(/[ML]([\d.]+) /g), ([, x]) => Number(x))

    expect(c - b).toBeCloseTo(b - a, 0)
  })

  it('has times at their distances, however far apart, and no dots', () => {
    const series = Array.from({ length: 60 }, (_, i) => ({
      name: `${i}`,
      unit: 'ms',
      figures: [5],
      at: { line: 'a', x: i + 0.5 },
    }))
    const soak = chart(outcome({ series, axis: 'minutes' }))
    const [path] = elements(soak, 'path', 'line')
    const xs = Array.from(path.d.matchAll(/[ML]([\d.]+) /g), ([, x]) => Number(x))

    expect(xs[2] - xs[1]).toBeCloseTo(xs[59] - xs[58], 0)
    expect(soak).not.toContain('<circle')
  })

  it('has a dot for each point, and a whisker where the rounds differ', () => {
    expect(elements(svg, 'circle', 'f0')).toHaveLength(3)
    expect(elements(svg, 'line', 's0')).toHaveLength(0)
    expect(elements(svg, 'line', 's1')).toHaveLength(3)
  })

  it('names its axis and its lines', () => {
    for (const words of ['open streams', 'p50', 'p99']) expect(svg).toContain(`>${words}</text>`)
  })

  it('has its target right across', () => {
    const limited = chart({ ...curved(), targets: [{ series: 'p99, 1000', per: 'p99, 10', most: 1.25 }] })
    const [target] = elements(limited, 'line', 'target')

    expect(target.y1).toBe(target.y2)
    expect(Number(target.x2) - Number(target.x1)).toBeGreaterThan(500)
  })

  it('leaves out a target that cannot be known', () => {
    const limited = chart({ ...curved(), targets: [{ series: 'p99, 1000', per: 'p99, 5', most: 1.25 }] })

    expect(elements(limited, 'line', 'target')).toEqual([])
    expect(limited).not.toContain('NaN')
  })
})

describe('SVG', () => {
  it('takes words as words', () => {
    expect(text('a < b & "c"', { x: 1 })).toBe('<text x="1">a &lt; b &amp; &quot;c&quot;</text>')
    expect(element('g', { id: '<"' })).toBe('<g id="&lt;&quot;"/>')
  })

  it('rounds to what is seen', () => {
    expect(element('g', { x: 1.23456 })).toBe('<g x="1.2"/>')
  })
})
