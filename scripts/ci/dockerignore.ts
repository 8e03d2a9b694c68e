/** Tells whether a path of the build context (`/`-separated, relative) reaches the builder. The last pattern that matches wins. */
export function dockerignore(text: string): (path: string) => boolean {
  const rules = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ keep: line.startsWith('!'), pattern: glob(line.replace(/^!/, '').replace(/^\/|\/$/g, '')) }))

  return (path) => rules.findLast(({ pattern }) => pattern.test(path))?.keep ?? true
}

/** Docker's globs (`**`, `*`, `?`; a leading dot is no exception, which is why `node:path`'s will not do). What matches a folder matches all inside. */
function glob(pattern: string): RegExp {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll(/\*\*\/|\*\*|\*|\?/g, (star) => ({ '**/': '(?:.*/)?', '**': '.*', '*': '[^/]*' })[star] ?? '[^/]')
  return new RegExp(`^${source}(?:/.*)?$`)
}
