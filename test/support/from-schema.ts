import fc from 'fast-check'

/** What of JSON Schema the document uses. */
export interface Schema {
  $ref?: string
  type?: string
  anyOf?: Schema[]
  enum?: unknown[]
  const?: unknown
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean | Schema
  items?: Schema
  minItems?: number
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  maxLength?: number
  minLength?: number
  format?: string
  pattern?: string
  examples?: unknown[]
}

/** Values that numbers, texts and flags are confused with. */
export const odd: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(null, true, -1, 0, 1, 1.5, 2 ** 31, 2 ** 53, 1e308, '', '0', 'NaN', [], {}, ['a'], { a: 1 }),
  fc.jsonValue({ maxDepth: 3 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
)

/**
 * Values of a schema, and now and then, anywhere in them, one that is none.
 * @param own - Values for properties and parameters by name, which go before their schemas.
 */
export function fromSchema(
  schema: Schema,
  { schemas, own = {} }: { schemas: Record<string, Schema>; own?: Record<string, fc.Arbitrary<unknown>> },
): fc.Arbitrary<unknown> {
  const resolve = (each: Schema): fc.Arbitrary<unknown> =>
    fc.oneof({ weight: 30, arbitrary: valid(each) }, { weight: 1, arbitrary: odd })
  const valid = (each: Schema): fc.Arbitrary<unknown> => {
    if (each.$ref !== undefined) return resolve(schemas[each.$ref.split('/').at(-1) ?? ''] ?? {})
    if (each.const !== undefined) return fc.constant(each.const)
    if (each.enum !== undefined) return fc.constantFrom(...each.enum)
    if (each.anyOf !== undefined) return fc.oneof(...each.anyOf.map(resolve))
    if (each.type === 'object') return objects(each)
    if (each.type === 'array')
      return fc.array(resolve(each.items ?? {}), { minLength: each.minItems ?? 0, maxLength: 4 })
    return scalar(each)
  }
  const objects = ({ properties = {}, required = [], additionalProperties }: Schema): fc.Arbitrary<unknown> => {
    const fields = Object.entries(properties).map(([name, each]): [string, fc.Arbitrary<unknown>] => [
      name,
      own[name] ?? resolve(each),
    ])
    if (typeof additionalProperties === 'object')
      return fc.dictionary(fc.string({ maxLength: 8 }), resolve(additionalProperties), { maxKeys: 4 })
    return fc
      .tuple(
        fc.record(Object.fromEntries(fields), { requiredKeys: required }),
        fc.oneof({ weight: 30, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: fc.dictionary(fc.string(), odd) }),
      )
      .map(([known, unknown]) => ({ ...known, ...unknown }))
  }
  return resolve(schema)
}

function scalar(schema: Schema): fc.Arbitrary<unknown> {
  const { minimum = -10, maximum = 1_000_000, examples = [] } = schema
  switch (schema.type) {
    case 'integer':
      return fc.oneof(
        fc.integer({ min: Math.max(minimum, -(2 ** 31)), max: Math.min(maximum, 2 ** 31 - 1) }),
        fc.constantFrom(minimum, maximum),
      )
    case 'number':
      return fc.double({ min: minimum, max: maximum, noNaN: true })
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'string':
      return fc.oneof(
        fc.string({ minLength: schema.minLength ?? 0, maxLength: Math.min(schema.maxLength ?? 20, 300) }),
        fc.constantFrom('a', '2030-01-01T00:00:00Z', '0', ...examples),
      )
    default:
      return odd
  }
}
