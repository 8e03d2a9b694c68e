import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const REPO = join(import.meta.dirname, '../..')
const PAGE = readFileSync(join(REPO, 'docs/security.md'), 'utf8')

/** The tests that the page names: the file, and a title in it. */
const HELD_BY = [...PAGE.matchAll(/\| `(test\/[^`]+)` "([^"]+)"/g)].map(([, file = '', title = '']) => ({
  file,
  title,
}))

/** What a title looks like in source, whichever quotes are around it. */
const isIn = (source: string, title: string) => source.includes(`'${title}'`) || source.includes(`"${title}"`)

describe('docs/security.md', () => {
  it('names a test for each promise', () => {
    const rows = PAGE.slice(PAGE.indexOf('| promise'), PAGE.indexOf('A tenant is told'))
      .split('\n')
      .filter((line) => line.startsWith('| '))

    expect(HELD_BY.length).toBeGreaterThan(15)
    expect(rows.length - 2).toBe(HELD_BY.length)
  })

  it.each(HELD_BY)('names one that there is: $file, $title', ({ file, title }) => {
    expect(isIn(readFileSync(join(REPO, file), 'utf8'), title)).toBe(true)
  })

  it('leads to documents that there are', () => {
    const links = [...PAGE.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map(([, path = '']) => join(REPO, 'docs', path))

    expect(links.filter((path) => !existsSync(path))).toEqual([])
  })
})
