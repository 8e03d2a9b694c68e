import { type DestinationStream, type Logger, pino } from 'pino'
import { ServiceError } from './errors.ts'

/** How the log is written. */
export interface LogOptions {
  level: string
  /** Default: standard output. */
  destination?: DestinationStream
}

/**
 * The fields that a line may have. Whatever else is given is left out, and named in `dropped`: so nothing that a library
 * hangs on an object, and no value of a tenant, gets into the log because nobody thought of it.
 */
const FIELDS: ReadonlySet<string> = new Set([
  ...['tenantId', 'batchId', 'jobId', 'index', 'attempt', 'code', 'err', 'reason', 'kind', 'detail'],
  ...['stage', 'count', 'role', 'replicaId', 'tenants'],
  ...['instance', 'method', 'route', 'status', 'ms'],
  ...['listeningOn', 'store', 'dataDir', 'version', 'signal', 'graceMs', 'batches', 'name', 'endpoint'],
])

const WARN = pino.levels.values.warn ?? 40

/** In place of a text that may quote a request: libraries write URLs and values into theirs. */
const UNTOLD = 'a library logged a text of its own'

/**
 * The service's log, one JSON object a line: some fields, see {@link FIELDS}, and a fixed message. Of an error it keeps
 * the class, the code and where it was thrown, and its message if it is one of ours.
 */
export function buildLogger({ level, destination }: LogOptions): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: errorFields },
    hooks: { logMethod },
  }
  return destination ? pino(options, destination) : pino(options)
}

function logMethod(this: Logger, args: unknown[], method: pino.LogFn, level: number): void {
  const [first, second] = args
  // What a library says in passing (Fastify: where it listens) is said in words of ours, or is nothing to know.
  if (level < WARN && !isFixed(first, second)) return
  const fields = first instanceof Error ? { err: first } : isRecord(first) ? first : {}
  method.call(this, allowed(fields), isFixed(first, second) ? second : UNTOLD)
}

/** Our own calls have an object and a message that is not taken from an error. */
function isFixed(fields: unknown, message: unknown): message is string {
  if (!isRecord(fields) || fields instanceof Error || typeof message !== 'string') return false
  return !(fields.err instanceof Error && fields.err.message === message)
}

function allowed(fields: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(fields)
  const dropped = entries.filter(([name]) => !FIELDS.has(name)).map(([name]) => name)
  const kept = Object.fromEntries(entries.filter(([name]) => FIELDS.has(name)))
  return dropped.length === 0 ? kept : { ...kept, dropped }
}

function errorFields(thrown: unknown): Record<string, unknown> {
  if (!(thrown instanceof Error)) return { type: typeof thrown }
  const message = thrown instanceof ServiceError ? thrown.message : undefined
  return { type: thrown.name, code: codeOf(thrown), message, stack: framesOf(thrown) }
}

/** What the log would have of an error, as text: its class, its code and its frames, and its message if it is one of ours. */
export function outline(thrown: unknown): string {
  const { type, code, message, stack } = errorFields(thrown)
  const head = [type, ...(code === undefined ? [] : [`[${code}]`]), ...(message === undefined ? [] : [message])].join(
    ' ',
  )
  return stack ? `${head}\n${stack}` : head
}

/** Node's, SQLite's and Fastify's codes are numbers or names in capitals; what else is called a code can be anything. */
function codeOf(error: Error): unknown {
  const code = 'code' in error ? error.code : undefined
  const isCode =
    error instanceof ServiceError || typeof code === 'number' || /^[A-Z][A-Z0-9_]{1,63}$/.test(String(code))
  return isCode ? code : undefined
}

/** A stack begins with the message, of any number of lines; its frames end with where they are. */
function framesOf({ message, stack = '' }: Error): string {
  const lines = stack.replace(message, '').split('\n')
  return lines.filter((line) => FRAME.test(line)).join('\n')
}

const FRAME = /^ {4}at .*:\d+:\d+\)?$/

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
