import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { SETTINGS } from '../../src/config.ts'

const REPO = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(REPO, file), 'utf8')
const PAGE = read('docs/operations.md')

/** Calls of the log at these levels, and those of them whose message can be read off the source. */
const CALL = /\blog(?:ger)?\.(?:warn|error|fatal)\(/g
const LOGGED = /\blog(?:ger)?\.(warn|error|fatal)\(\s*(?:\{[^\n]*\}|\{[^}]*\}|\w+),\s*'([^']+)',?\s*\)/g

/** What a source logs at warn and above, as `level: message`. @throws {Error} When it logs what cannot be told from here. */
function logged(source: string): string[] {
  const found = [...source.matchAll(LOGGED)].map(([, level, message]) => `${level}: ${message}`)
  const calls = source.match(CALL)?.length ?? 0
  if (calls !== found.length)
    throw new Error(`${calls} calls, ${found.length} with a fixed message: ${source.match(CALL)}`)
  return found
}

/** The rows of the page's table of messages, as `level: message`. */
function documented(): string[] {
  const table = PAGE.slice(PAGE.indexOf('| message '))
  const rows = table.slice(0, table.indexOf('\n\n')).split('\n').slice(2)
  return rows.flatMap((row) => {
    const [, names = '', level = ''] = row.split('|').map((cell) => cell.trim())
    return [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => `${level}: ${name}`)
  })
}

/** How GitHub makes a heading's anchor. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')

function anchorsOf(file: string): Set<string> {
  return new Set([...read(file).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading)))
}

describe('the table of messages in docs/operations.md', () => {
  const sources = globSync(['src/**/*.ts', 'routes/**/*.ts'], { cwd: REPO })
  const messages = new Set(sources.flatMap((file) => logged(read(file))))

  it('has every message that is logged at warn or above', () => {
    expect(messages.size).toBeGreaterThan(5)
    expect([...messages].filter((message) => !documented().includes(message))).toEqual([])
  })

  it('has none that is not', () => {
    const claimed = documented().filter((line) => /^(?:warn|error|fatal):/.test(line))

    expect(claimed.filter((message) => !messages.has(message))).toEqual([])
  })

  it('has the messages of other levels as they are in the source', () => {
    const all = sources.map(read).join('\n')
    const others = documented().filter((line) => !/^(?:warn|error|fatal):/.test(line))

    expect(others.filter((line) => !all.includes(`'${line.replace(/^\w+: /, '')}'`))).toEqual([])
  })

  it.each([
    ["logger.warn({ a }, 'one')", ['warn: one']],
    ["log.error({ err, reason: f(err) },\n  'two',\n)", ['error: two']],
    ["logger.info({}, 'three')", []],
  ])('is held against %j', (source, found) => {
    expect(logged(source)).toEqual(found)
  })

  it.each(['logger.warn(facts, message)', "logger.fatal('one')"])(
    'cannot be held against %s, and says so',
    (source) => {
      expect(() => logged(source)).toThrow('1 calls, 0 with')
    },
  )
})

describe('docs/operations.md', () => {
  const links = [...PAGE.matchAll(/\]\(([^)#]*)(?:#([^)]*))?\)/g)].map(([, path = '', anchor]) => ({ path, anchor }))

  it('leads to places that there are', () => {
    const lost = links.filter(({ path, anchor }) => {
      const file = path === '' ? 'docs/operations.md' : join('docs', path)
      return !existsSync(join(REPO, file)) || (anchor !== undefined && !anchorsOf(file).has(anchor))
    })

    expect(links.length).toBeGreaterThan(30)
    expect(lost).toEqual([])
  })

  it('has every section in its contents', () => {
    const contents = PAGE.slice(0, PAGE.indexOf('\n## '))
    const sections = [...PAGE.matchAll(/^## (.+)$/gm)].map(([, heading = '']) => anchorOf(heading))

    expect(sections.filter((anchor) => !contents.includes(`(#${anchor})`))).toEqual([])
  })

  it('is led to at headings that there are', () => {
    const lost = globSync(['*.md', 'docs/*.md', 'examples/*.md', 'deploy/**/*'], { cwd: REPO }).flatMap((file) =>
      existsSync(join(REPO, dirname(file))) && /\.\w+$/.test(file)
        ? [...read(file).matchAll(/operations\.md#([\w-]+)/g)].filter(
            ([, anchor = '']) => !anchorsOf('docs/operations.md').has(anchor),
          )
        : [],
    )

    expect(lost.map(([link]) => link)).toEqual([])
  })

  it('names no setting that there is not', () => {
    const known = new Set<string>(SETTINGS.map(({ name }) => name))
    const named = new Set(PAGE.match(/\bGATHERD_[A-Z0-9_]*[A-Z0-9]\b(?!_?…)/g))

    expect([...named].filter((name) => !known.has(name)).sort()).toEqual(['GATHERD_URL'])
  })

  it('names the files that are delivered', () => {
    const named = [...PAGE.matchAll(/deploy\/[\w./-]*\w/g)].map(([file]) => file)

    expect(named.filter((file) => !existsSync(join(REPO, file)) && !existsSync(join(REPO, `${file}.timer`)))).toEqual(
      [],
    )
    expect(globSync('deploy/**/*.*', { cwd: REPO }).length).toBe(16)
  })
})
