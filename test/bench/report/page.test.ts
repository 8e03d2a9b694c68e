import { describe, expect, it } from 'vitest'
import { page } from '../../../bench/report/page.ts'
import { printed } from '../../../bench/report/print.ts'
import { compared, curved, outcome } from '../support.ts'

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

  it('has nothing of placeholders when all can be judged', () => {
    expect(text).not.toMatch(/placeholder|not judged/)
  })

  it('has curves as tables', () => {
    expect(text).toMatch(/\| open streams +\| p50 \(ms\)/)
  })
})

describe('the page of outcomes that cannot be judged', () => {
  const quick = { ...compared(), command: 'npm run bench -- --only P1 --quick --write', load: 19.3 }
  const text = page([quick, curved()])
  const section = text.slice(text.indexOf('## P1'), text.indexOf('## streams'))

  it('begins with how many they are, in bold', () => {
    expect(text.slice(0, text.indexOf('## Targets'))).toContain('**1 of 2 measures are placeholders**')
  })

  it('says with each why', () => {
    expect(section).toContain('\n**Quick, load 19 on 2 cores: placeholder, not judged.**\n')
    expect(text.slice(text.indexOf('## streams'))).not.toContain('placeholder')
  })

  it('says of none of its targets that it is met or missed', () => {
    expect(text).not.toMatch(/\| (?:met|missed|\*\*missed\*\*) +\|/)
    expect(text.match(/\| not judged +\|/g)).toHaveLength(4)
  })

  it('says still what was not measured', () => {
    const unmeasured = outcome({ targets: [{ series: 'late', most: 1 }], commit: 'abc1234-dirty' })

    expect(page([unmeasured])).toMatch(/\| not measured +\|/)
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

  it('has what its figures are worth beside other work', () => {
    const lines = printed({ ...compared(), load: 2.6 }).split('\n')

    expect(lines.at(-1)).toBe('of little weight: load 3 on 2 cores')
    expect(lines).toContainEqual(expect.stringMatching(/^late ≤ 10 ms .* missed$/))
  })
})
