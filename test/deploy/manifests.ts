import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { STUCK_AFTER_MS } from '../../src/engine/local/attempts.ts'
import { LAST_COMMIT_MS, LAST_LINE_MS } from '../../src/engine/local/engine.ts'

/** The most that the last spans get, of `gatherd serve`. */
const LAST_SPANS_MS = 5_000

/** How long a stop takes at most: the grace, and what may hang after it. */
export const stopMs = (graceMs: number) => graceMs + STUCK_AFTER_MS + LAST_COMMIT_MS + LAST_LINE_MS + LAST_SPANS_MS

/** Where the repository is. */
export const REPO = join(import.meta.dirname, '../..')

/** The text of a file of the repository. */
export const read = (file: string) => readFileSync(join(REPO, file), 'utf8')

/** An object of Kubernetes, as far as tests look at it. */
export interface Manifest {
  file: string
  apiVersion: string
  kind: string
  metadata: { name: string; labels?: Record<string, string> }
  // biome-ignore lint/suspicious/noExplicitAny: each kind has its own, and the schema of its kind is what checks it.
  [field: string]: any
}

/** All objects of `deploy/kubernetes/`. @throws {Error} for what is no YAML. */
export function manifests(): Manifest[] {
  const files = globSync('deploy/kubernetes/**/*.yaml', { cwd: REPO }).sort()
  return files.flatMap((file) =>
    parseAllDocuments(read(file)).map((document) => {
      if (document.errors.length > 0) throw document.errors[0]
      return { ...document.toJS(), file }
    }),
  )
}

/** The only object of a kind and name. @throws {Error} when there is none. */
export function manifest(kind: string, name = 'gatherd'): Manifest {
  const found = manifests().find((one) => one.kind === kind && one.metadata.name === name)
  if (found === undefined) throw new Error(`There is no ${kind} ${name}.`)
  return found
}
