import { describe, expect, it } from 'vitest'
import { page } from '../../../bench/report/page.ts'
import { printed } from '../../../bench/report/print.ts'
import { compared, curved } from '../support.ts'

describe('the page of outcomes', () => {
  const text = page([compared(), curved()])

  it('begins with all targets, and shows those that are missed', () => {
    expect(text.slice(text.indexOf('## Targets'), text.indexOf('## P1'))).toMatch(
      /\| P1 +\| gatherd ≥ 0\.70 × loop +\| 0\.80 \(0\.75–0\.80\) × +\| met +\|\n\| P1 +\| late ≤ 10 ms +\| 14 \(12–14\) ms +\| \*\*missed\*\* \|/,
    )
  })

  it('has of each the chart, the tables, and how to have it measured again', () => {
    const section = text.slice(text.indexOf('## P1'), text.indexOf('## streams'))

    expect(section).toContain('![fetches a second](p1.svg)')
    expect(section).toMatch(/\| gatherd +\| 1,500 \(800–1,500\) +\| jobs\/s/)
    expect(section).toContain('Not measured: aiohttp (it is not installed).')
    expect(section).toContain(
      '`npm run bench -- --only P1 --write`: 2 × a processor, Node 24, load 1.3 when it began, 2026-11-23 03:04 UTC, commit abc1234, 12 s. [JSON](p1.json).',
    )
  })

  it('has curves as tables', () => {
    expect(text).toMatch(/\| open streams +\| p50 \(ms\)/)
  })
})

describe('an outcome on a terminal', () => {
  it('has its tables, its verdicts and what was left out', () => {
    const lines = printed(compared()).split('\n')

    expect(lines).toContain('P1  fetches a second')
    expect(lines).toContainEqual(expect.stringMatching(/^gatherd ≥ 0\.70 × loop .* met$/))
    expect(lines).toContainEqual(expect.stringMatching(/^late ≤ 10 ms .* missed$/))
    expect(lines.at(-1)).toBe('not measured: aiohttp: it is not installed')
  })
})
