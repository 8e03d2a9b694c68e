import { isAbsolute, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { z } from 'zod'
import { ConfigError } from '../errors.ts'
import type { CommonSpec, JobKind } from './kind.ts'

/**
 * A kind of job of the operator's own, for the modules that `GATHERD_KINDS` names: it types `run` after `spec`. A plain
 * object of the same form does as well.
 *
 * @example
 * export default [defineKind({ name: 'greet', spec: z.strictObject({ who: z.string() }), run: async ({ who }) => `hello ${who}` })]
 */
export function defineKind<Fields extends z.ZodObject>(
  kind: Omit<JobKind<CommonSpec & z.output<Fields>>, 'spec'> & { spec: Fields },
): JobKind {
  // A kind is only ever given specs that its own schema has validated.
  return kind as unknown as JobKind
}

/**
 * The kinds that a module exports by default, an array of them.
 *
 * @param path - Relative to `from`, the working directory.
 * @throws {ConfigError} when the module cannot be loaded, or exports something else; it says what and where.
 */
export async function loadKinds(path: string, from: string): Promise<JobKind[]> {
  const file = isAbsolute(path) ? path : resolve(from, path)
  const exported = await imported(file)
  if (!Array.isArray(exported))
    throw new ConfigError(`GATHERD_KINDS: ${file} must export an array of kinds by default.`)
  return exported.map((kind, i) => checked(kind, `${file}, kind ${i}`))
}

async function imported(file: string): Promise<unknown> {
  try {
    const module: { default?: unknown } = await import(pathToFileURL(file).href)
    return module.default
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new ConfigError(`GATHERD_KINDS: ${file} cannot be loaded: ${why}`, { cause })
  }
}

function checked(kind: unknown, where: string): JobKind {
  const wrong = flawOf(kind)
  if (wrong !== null) throw new ConfigError(`GATHERD_KINDS: ${where}: ${wrong}`)
  // `flawOf` has looked at each part.
  return kind as JobKind
}

function flawOf(kind: unknown): string | null {
  if (typeof kind !== 'object' || kind === null) return 'must be an object {name, spec, run}.'
  const { name, spec, run, secrets, guarded, thread } = kind as Record<string, unknown>
  if (typeof name !== 'string' || !/^[a-z][a-z0-9_-]{0,63}$/.test(name)) return 'its name must match [a-z][a-z0-9_-]*.'
  if (typeof run !== 'function') return 'its run must be a function (spec, context).'
  if (secrets !== undefined && typeof secrets !== 'function') return 'its secrets must be a function (spec).'
  if (guarded !== undefined) return 'it cannot be guarded: the guard sees the sockets of fetch alone; leave it out.'
  if (thread === true) return 'thread: true is not available yet; leave it out.'
  return isZodObject(spec) ? null : 'its spec must be a zod object (z.strictObject({…})).'
}

function isZodObject(spec: unknown): boolean {
  return typeof spec === 'object' && spec !== null && 'shape' in spec && 'safeExtend' in spec
}
