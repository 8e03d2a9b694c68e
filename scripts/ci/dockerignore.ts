import { matchesGlob } from 'node:path'

/** Tells whether a path of the build context (`/`-separated, relative) reaches the builder. The last pattern that matches wins. */
export function dockerignore(text: string): (path: string) => boolean {
  const rules = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ keep: line.startsWith('!'), pattern: line.replace(/^!/, '').replace(/^\/|\/$/g, '') }))

  return (path) => {
    const parts = path.split('/')
    // A pattern that matches a folder says it for everything inside.
    const selfAndFolders = parts.map((_, i) => parts.slice(0, i + 1).join('/'))
    const last = rules.findLast(({ pattern }) => selfAndFolders.some((part) => matchesGlob(part, pattern)))
    return last?.keep ?? true
  }
}
