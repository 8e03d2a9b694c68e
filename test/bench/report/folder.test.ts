import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { draw, keep } from '../../../bench/report/folder.ts'
import { compared, curved } from '../support.ts'

const ORDER = ['P1', 'streams']

/** A folder of a test's own. */
function scratch() {
  const folder = join(mkdtempSync(join(tmpdir(), 'gatherd-folder-')), 'benchmarks')
  return {
    folder,
    read: (file: string) => readFileSync(join(folder, file), 'utf8'),
    [Symbol.dispose]: () => rmSync(join(folder, '..'), { recursive: true, force: true }),
  }
}

describe('the folder of outcomes', () => {
  it('has JSON and a chart of each, and a page', async () => {
    using kept = scratch()

    await keep(kept.folder, [compared(), curved()], ORDER)

    expect(readdirSync(kept.folder).sort()).toEqual(['README.md', 'p1.json', 'p1.svg', 'streams.json', 'streams.svg'])
    expect(JSON.parse(kept.read('p1.json'))).toEqual(compared())
  })

  it('keeps what another run found, and takes the newer of what both did', async () => {
    using kept = scratch()
    await keep(kept.folder, [compared(), { ...curved(), title: 'older' }], ORDER)

    await keep(kept.folder, [{ ...curved(), title: 'newer' }], ORDER)

    expect(kept.read('README.md')).toContain('## P1: fetches a second')
    expect(kept.read('README.md')).toContain('## streams: newer')
    expect(kept.read('README.md')).not.toContain('older')
    expect(kept.read('streams.svg')).toContain('newer')
  })

  it('is drawn from the JSON that is in it, in the order of the measures', async () => {
    using kept = scratch()
    await keep(kept.folder, [curved(), compared()], ORDER)
    const page = kept.read('README.md')
    rmSync(join(kept.folder, 'p1.svg'))

    await draw(kept.folder, ORDER)

    expect(kept.read('README.md')).toBe(page)
    expect(page.indexOf('## P1')).toBeLessThan(page.indexOf('## streams'))
    expect(kept.read('p1.svg')).toContain('<svg')
  })
})
