import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { DEFAULT_TENANT } from '../../auth/keyring.ts'
import type { BatchSubmission } from '../../engine/engine.ts'
import { ConfigError, InvalidArgumentError } from '../../errors.ts'
import type { JobSchema } from '../../schema/jobs.ts'
import { MAX_JOBS_EVER } from '../../schema/limits.ts'
import { parseSubmission } from '../../schema/submission.ts'
import type { Io } from '../io.ts'

/** What the command line says instead of the batch; undefined: the batch's own. */
export interface Overrides {
  maxConcurrency?: number | undefined
  timeoutMs?: number | undefined
}

/**
 * All of a file, or of standard input for `-`, as text.
 * @throws {ConfigError} when it cannot be read, is larger than `limitBytes`, or is not UTF-8.
 */
export async function readInput(io: Pick<Io, 'stdin'>, source: string, limitBytes: number): Promise<string> {
  const name = nameOf(source)
  const stream = source === '-' ? io.stdin : createReadStream(source)
  const bytes = await readAll(stream, limitBytes).catch((cause: unknown) => {
    throw new ConfigError(`${name} cannot be read: ${cause instanceof Error ? cause.message : cause}`, { cause })
  })
  if (bytes === null)
    throw new ConfigError(`${name} has more than ${limitBytes} bytes, the limit that GATHERD_BODY_LIMIT_BYTES sets.`)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new ConfigError(`${name} is not valid UTF-8.`, { cause })
  }
}

/**
 * The batch that a text describes: what the API takes, or an array of jobs. `open` means nothing here, where nobody can append.
 * @throws {ConfigError} naming every wrong field by its JSON Pointer into the text.
 */
export function parseBatch({
  source,
  text,
  overrides,
  schema,
}: {
  source: string
  text: string
  overrides: Overrides
  schema: JobSchema
}): BatchSubmission {
  const body = parseJson(source, text)
  const isList = Array.isArray(body)
  try {
    const batch = parseSubmission(withOverrides(isList ? { jobs: body } : body, overrides), schema, {
      id: DEFAULT_TENANT,
      limits: { maxBatchJobs: MAX_JOBS_EVER },
    })
    return { ...batch, open: false }
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    throw new ConfigError(`${nameOf(source)} is not a batch. ${error.message}\n${listOf(error, isList)}`)
  }
}

/** The number that an option was given. @throws {ConfigError} when it is none. */
export function wholeNumber(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,15}$/.test(text)) throw new ConfigError(`${option} must be a whole number, and is "${text}".`)
  return Number(text)
}

async function readAll(stream: Readable, limitBytes: number): Promise<Buffer | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream) {
    // No encoding is set on it, so it yields buffers.
    const buffer = chunk as Buffer
    bytes += buffer.length
    if (bytes > limitBytes) return null
    chunks.push(buffer)
  }
  return Buffer.concat(chunks)
}

function parseJson(source: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new ConfigError(`${nameOf(source)} is not JSON: ${why}`, { cause })
  }
}

function withOverrides(body: unknown, overrides: Overrides): unknown {
  if (typeof body !== 'object' || body === null) return body
  const given = Object.entries(overrides).filter(([, value]) => value !== undefined)
  return { ...body, ...Object.fromEntries(given) }
}

/** In a bare list of jobs, the third is `/2`. */
function listOf({ errors }: InvalidArgumentError, isList: boolean): string {
  const pointerOf = (pointer: string) => (isList ? pointer.replace(/^\/jobs/, '') : pointer)
  return errors.map(({ pointer, detail }) => `  ${pointerOf(pointer) || '(the whole)'}: ${detail}`).join('\n')
}

function nameOf(source: string): string {
  return source === '-' ? 'Standard input' : source
}
