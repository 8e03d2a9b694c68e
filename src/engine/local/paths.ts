/** Names of fields from the outermost to the innermost, through objects only. */
export type Path = readonly string[]

/** The value at a path; undefined where there is none. */
export function valueAt(value: unknown, path: Path): unknown {
  let found = value
  for (const name of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, name)) return undefined
    // It has the field.
    found = (found as Record<string, unknown>)[name]
  }
  return found
}

/** A copy of an object with another value at a path; what is not on the way is shared. */
export function withValue<T extends object>(object: T, [name, ...rest]: Path, value: unknown): T {
  if (name === undefined) return object
  if (rest.length === 0) return { ...object, [name]: value }
  const inner = valueAt(object, [name])
  return { ...object, [name]: withValue(typeof inner === 'object' && inner !== null ? inner : {}, rest, value) }
}
