import * as errors from '../../errors.ts'
import * as own from './errors.ts'

/** An error on its way to another replica. `name` is null when it is not one that callers are told of. */
export interface WireError {
  name: string | null
  message?: string
  fields?: Record<string, unknown>
  /** Those of the fields that are maps, which JSON does not know. */
  maps?: Record<string, [unknown, unknown][]>
}

/** The classes that come out as themselves: all that `src/errors.ts` and `errors.ts` here have. */
const CLASSES = new Map<string, abstract new (...args: never[]) => Error>(
  [...Object.values(errors), ...Object.values(own)].map((each) => [each.name, each]),
)

/** Of an error, what another replica may know: of ours the class, the sentence and the fields but for the cause, of others nothing. */
export function encodeError(thrown: unknown): WireError {
  const isKnown = thrown instanceof errors.ServiceError && CLASSES.get(thrown.name) === thrown.constructor
  if (!isKnown) return { name: null }
  const entries = Object.entries(thrown).filter(([field]) => field !== 'cause')
  const fields = Object.fromEntries(entries.filter(([, value]) => !(value instanceof Map)))
  const maps = Object.fromEntries(
    entries.flatMap(([field, value]) => (value instanceof Map ? [[field, [...value]]] : [])),
  )
  return { name: thrown.name, message: thrown.message, fields, maps }
}

/** The error again, of the same class with the same fields; a `RemoteError` for what was not told. */
export function decodeError({ name, message, fields, maps = {} }: WireError): Error {
  const known = name === null ? undefined : CLASSES.get(name)
  if (known === undefined) return new own.RemoteError()
  // Without its own constructor: that takes what the message was made of.
  const whole = Object.entries(maps).map(([field, entries]) => [field, new Map(entries)])
  const error: Error = Object.assign(Reflect.construct(Error, [message], known), fields, Object.fromEntries(whole))
  // V8 leaves out all frames above the constructor that it was given, and never comes to it.
  Error.captureStackTrace(error, decodeError)
  return error
}
