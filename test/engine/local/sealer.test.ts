import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type BatchSealer, Sealer } from '../../../src/engine/local/sealer.ts'
import { defineKind } from '../../../src/jobs/custom.ts'
import { builtInKinds } from '../../../src/jobs/index.ts'
import { type CommonSpec, JobError, type JobKind } from '../../../src/jobs/kind.ts'
import { Vault } from '../../../src/secrets/vault.ts'

const VAULT = new Vault([Buffer.alloc(32, 1)])
// Nothing is fetched here.
const [FETCH] = builtInKinds({ egress: {} as never })

/** A kind that takes any field, and whose whole `login` is secret. */
const LOOSE = defineKind({
  name: 'loose',
  spec: z.looseObject({}),
  secrets: () => [['login'], ['deep', 'er'], ['absent']],
  run: async () => null,
})

/** A sealer of a batch, and what it told the operator. */
function sealerOf(batchId = 'b', vault = VAULT, kinds = [FETCH, LOOSE] as JobKind[]) {
  const told: { batchId: string; index: number }[] = []
  const events = { secretUnreadable: (facts: { batchId: string; index: number }) => told.push(facts) }
  const byName = new Map(kinds.map((kind) => [kind.name, kind]))
  return { sealer: new Sealer({ vault, kinds: byName, events }).batch(batchId), told }
}

const fetchOf = (headers: Record<string, string>, url = 'https://api.example.com/a') =>
  ({ kind: 'fetch', url, method: 'GET', headers, redirects: 5 }) as CommonSpec

/** The one text of one spec. */
function kept(sealer: BatchSealer, spec: CommonSpec): string {
  return sealer.write([spec])[0] ?? ''
}

/** The code that reading ends with; null when it does not. */
function refusal(sealer: BatchSealer, text: string, index = 0): string | null {
  try {
    sealer.read(text, index)
    return null
  } catch (thrown) {
    if (thrown instanceof JobError) return thrown.code
    throw thrown
  }
}

describe('a sealer', () => {
  it('gives back every spec as it was, its headers in their order', () => {
    const name = fc.constantFrom('Authorization', 'cookie', 'X-Api-Key', 'accept', 'x-a', 'My-Token', 'range')
    const headers = fc.dictionary(name, fc.string())

    fc.assert(
      fc.property(fc.array(headers, { maxLength: 8 }), (all) => {
        const specs = all.map((one) => fetchOf(one))
        const texts = sealerOf().sealer.write(specs)
        const { sealer } = sealerOf()

        expect(texts.map((text, i) => JSON.stringify(sealer.read(text, i)))).toEqual(
          specs.map((spec) => JSON.stringify(spec)),
        )
      }),
    )
  })

  it.each([
    ['authorization'],
    ['AUTHORIZATION'],
    ['Cookie'],
    ['x-api-key'],
    ['X-Auth'],
    ['x-csrf-Token'],
    ['Client-Secret'],
    ['x-signature'],
    ['X-Password'],
    ['passwd'],
    ['Ocp-Apim-Subscription-Key'],
    ['x-amz-security-token'],
    ['session-id'],
  ])('keeps the value of %s in no form, and the rest of the spec as it is', (name) => {
    const secret = 'hunter2-the-secret'
    const text = kept(sealerOf().sealer, fetchOf({ accept: 'a/b', [name]: secret }))

    for (const form of ['utf8', 'base64', 'hex'] as const)
      expect(text).not.toContain(Buffer.from(secret).toString(form).slice(0, 20))
    expect(JSON.parse(text)).toMatchObject({ kind: 'fetch', method: 'GET', headers: { accept: 'a/b', [name]: null } })
  })

  it('writes what has no secrets as it is', () => {
    const spec = fetchOf({ accept: 'a/b', 'user-agent': 'x', range: 'bytes=0-1' })

    expect(kept(sealerOf().sealer, spec)).toBe(JSON.stringify(spec))
    expect(sealerOf().sealer.read(JSON.stringify(spec), 0)).toEqual(spec)
  })

  it('seals what any kind calls secret, of any JSON', () => {
    const spec = {
      kind: 'loose',
      login: { user: 'canary', pin: [1, 'canary'] },
      deep: { er: 'canary', is: 1 },
    } as CommonSpec
    const text = kept(sealerOf().sealer, spec)

    expect(text).not.toContain('canary')
    expect(sealerOf().sealer.read(text, 0)).toEqual(spec)
  })

  it('is not fooled by a field of its own name', () => {
    const spec = { kind: 'loose', $sealed: [[['url'], 'x']], login: 'canary' } as CommonSpec

    expect(sealerOf().sealer.read(kept(sealerOf().sealer, spec), 0)).toEqual(spec)
  })

  it('seals a value once for the jobs of a batch that send it to one host, and anew for others', () => {
    const auth = (value: string, url?: string) => fetchOf({ authorization: value }, url)
    const specs = [
      auth('a'),
      auth('a', 'https://api.example.com/b'),
      auth('b'),
      auth('a', 'https://other.example.com/'),
    ]

    const sealed = sealerOf()
      .sealer.write(specs)
      .map((text) => JSON.parse(text).$sealed[0][1])

    expect(sealed[0]).toBe(sealed[1])
    expect(new Set(sealed).size).toBe(3)
  })
})

describe('a sealed spec is unreadable', () => {
  const text = kept(sealerOf().sealer, fetchOf({ authorization: 'a secret', 'x-token': 'another' }))
  const parsed = JSON.parse(text)
  const changed = (change: object) => JSON.stringify({ ...parsed, ...change })
  const [[authorization, first], [token, second]] = parsed.$sealed

  it.each([
    ['with its secret for another host', changed({ url: 'https://evil.example.com/a' })],
    ['with its secret for another port', changed({ url: 'https://api.example.com:444/a' })],
    [
      'with its secrets swapped',
      changed({
        $sealed: [
          [authorization, second],
          [token, first],
        ],
      }),
    ],
    ['with its secret in another header', changed({ $sealed: [[['headers', 'x-shown'], first]] })],
    ['as another kind', changed({ kind: 'loose' })],
    ['with a byte of it changed', text.replace(first, `${first.slice(0, -3)}AAA`)],
    ['with something else in it', changed({ $sealed: [[authorization, 'Bearer x']] })],
  ])('%s', (_, other) => {
    expect(refusal(sealerOf().sealer, text)).toBeNull()
    expect(refusal(sealerOf().sealer, other)).toBe('secret_unreadable')
  })

  it('in another batch, and with another key', () => {
    expect(refusal(sealerOf('c').sealer, text)).toBe('secret_unreadable')
    expect(refusal(sealerOf('b', new Vault([Buffer.alloc(32, 2)])).sealer, text)).toBe('secret_unreadable')
  })

  it('also to who has opened it before it was changed', () => {
    const { sealer } = sealerOf()
    sealer.read(text, 0)

    expect(refusal(sealer, changed({ url: 'https://evil.example.com/a' }))).toBe('secret_unreadable')
  })

  it('and the operator hears of it once a batch', () => {
    const { sealer, told } = sealerOf('c')

    for (const index of [7, 8, 9]) refusal(sealer, text, index)

    expect(told).toEqual([{ batchId: 'c', index: 7 }])
  })

  it('and is given as it is kept when its kind is gone: there is nothing to run it', () => {
    const { sealer, told } = sealerOf('b', VAULT, [])

    expect(sealer.read(text, 0)).toMatchObject({ headers: { authorization: null, 'x-token': null } })
    expect(told).toEqual([])
  })
})
