import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Egress } from '../../src/egress/egress.ts'
import { DEFAULT_FETCH_LIMITS } from '../../src/jobs/fetch/limits.ts'
import { fetchKind } from '../../src/jobs/fetch.ts'
import type { JobKind } from '../../src/jobs/kind.ts'
import { sleepKind } from '../../src/jobs/sleep.ts'
import { buildJobSchema } from '../../src/schema/jobs.ts'
import { MAX_NAME_LENGTH } from '../../src/schema/limits.ts'
import { openGuard } from '../support/guard.ts'

const limits = { ...DEFAULT_FETCH_LIMITS, maxResponseBytes: 1_234 }
const kinds = [fetchKind({ egress: new Egress({ guard: openGuard() }), limits }), sleepKind()] as JobKind[]
const schema = buildJobSchema(kinds)

const anything = fc.oneof(
  fc.constantFrom(null, undefined, true, '', 'x', 0, -0, -1, 1, 1.5, 1e21, 2_592_000_000, 2_592_000_001, 2 ** 53),
  fc.jsonValue(),
)
const url = fc.oneof(
  { weight: 4, arbitrary: fc.webUrl({ withFragments: true, withQueryParameters: true }) },
  fc.constantFrom(
    'http://a.example/',
    'https://[::1]:8080/x',
    'http://a.example:99999/',
    'http://1.2.3.4.5/',
    'ftp://a/',
  ),
  fc.constantFrom(
    'http://u:p@a/',
    'http://a b/',
    'HTTP://A.example\\x',
    `http://a/${'x'.repeat(8_200)}`,
    'http://%zz/',
  ),
  anything,
)
const method = fc.oneof({ weight: 4, arbitrary: fc.constantFrom('GET', 'POST', 'HEAD', 'get', 'TRACE') }, anything)
const response = fc.oneof({ weight: 4, arbitrary: fc.constantFrom('full', 'json', 'head', 'none', 'all') }, anything)
const name = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.constantFrom('n'.repeat(MAX_NAME_LENGTH), 'n'.repeat(MAX_NAME_LENGTH + 1)),
  anything,
)
const duration = fc.oneof(fc.integer({ min: -2, max: 10 }), anything)
const rare: Record<string, fc.Arbitrary<unknown>> = {
  deadlineMs: duration,
  priority: duration,
  shield: fc.boolean(),
  unknown: anything,
  result: anything,
}

/** Mostly jobs of the kind, with a few fields, and a field now and then that the quick check does not know. */
function jobsOf(kind: string): fc.Arbitrary<Record<string, unknown>> {
  const kinds = fc.oneof({ weight: 9, arbitrary: fc.constant(kind) }, fc.constantFrom('fetch', 'sleep', 'other', 1))
  const own: Record<string, fc.Arbitrary<unknown>> = kind === 'fetch'
    ? { url, method, response }
    : { durationMs: duration }
  const known: Record<string, fc.Arbitrary<unknown>> = { kind: kinds, ...own, name, timeoutMs: duration }
  const [first = 'kind'] = Object.keys(own)
  const usual = fc.record(known, { requiredKeys: ['kind', first] })
  return fc.oneof({ weight: 4, arbitrary: usual }, fc.record({ ...known, ...rare }, { requiredKeys: ['kind'] }))
}

describe('the quick check of a job', () => {
  it.each(['fetch', 'sleep'])('of a %s says what the schema says, in the same order, or nothing', (kind) => {
    const quick = schema.quick.get(kind)
    let said = 0
    fc.assert(
      fc.property(jobsOf(kind), (job) => {
        const spec = quick?.(job)
        if (spec === undefined) return
        said++
        const whole = schema.byKind.get(kind)?.safeParse(job)
        expect(whole?.success).toBe(true)
        expect(spec).toEqual(whole?.data)
        expect(JSON.stringify(spec)).toBe(JSON.stringify(whole?.data))
      }),
      { numRuns: 3_000 },
    )
    expect(said).toBeGreaterThan(100)
  })

  it.each([
    { kind: 'fetch', url: 'http://a.example/' },
    { kind: 'fetch', url: 'http://a.example/', method: 'POST', response: 'json', name: 'n', timeoutMs: null },
    { kind: 'sleep', durationMs: 0, name: '', timeoutMs: 5 },
  ])('speaks for %j', (job) => {
    expect(schema.quick.get(job.kind)?.(job)).toEqual(schema.byKind.get(job.kind)?.parse(job))
  })

  it.each([
    { kind: 'fetch', url: 'http://a.example/', redirects: 5 },
    { kind: 'fetch', url: 'http://a.example/', priority: 1 },
    { kind: 'fetch', url: 'http://a.example/', headers: {} },
    { kind: 'fetch', url: 'http://a.example:99999/' },
    { kind: 'sleep', durationMs: 0, result: 1 },
    { kind: 'fetch' },
    { kind: 'sleep', durationMs: 0, name: 'n'.repeat(MAX_NAME_LENGTH + 1) },
    { kind: 'sleep', durationMs: 0, timeoutMs: 2_592_000_001 },
    { kind: 'sleep', durationMs: 0.5 },
    JSON.parse('{"kind":"sleep","durationMs":0,"__proto__":{"timeoutMs":1}}'),
  ])('leaves %j to the schema', (job) => {
    expect(schema.quick.get(job.kind)?.(job)).toBeUndefined()
  })

  it('shares between jobs only what nobody can change', () => {
    const job = { kind: 'fetch', url: 'http://a.example/' }
    const [one, other] = [schema.quick.get('fetch')?.(job), schema.quick.get('fetch')?.(job)]

    expect(one).not.toBe(other)
    for (const value of Object.values(one ?? {})) expect(Object.isFrozen(value)).toBe(true)
  })
})
