import { type DestinationStream, type Logger, pino } from 'pino'

/** How the log is written. */
export interface LogOptions {
  level: string
  /** Default: standard output. */
  destination?: DestinationStream
}

/**
 * The service's log, one JSON object a line. Of an error it keeps what we wrote ourselves: its class, code, message and stack,
 * not the fields that libraries hang on it, where addresses and headers are.
 */
export function buildLogger({ level, destination }: LogOptions): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: errorFields } }
  return destination ? pino(options, destination) : pino(options)
}

function errorFields(thrown: unknown): Record<string, unknown> {
  if (!(thrown instanceof Error)) return { type: typeof thrown }
  const code = 'code' in thrown ? thrown.code : undefined
  return { type: thrown.name, code, message: thrown.message, stack: thrown.stack }
}
