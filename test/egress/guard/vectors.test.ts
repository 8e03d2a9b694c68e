import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { checkUrl } from '../../../src/egress/guard/check-url.ts'
import { EgressDeniedError } from '../../../src/egress/guard/denial.ts'
import { EgressPolicy } from '../../../src/egress/guard/policy.ts'
import { nameResolver } from '../../../src/egress/guard/resolver.ts'
import { hostOfUrl, portOf } from '../../../src/egress/url.ts'
import { DEFAULT_FETCH_LIMITS } from '../../../src/jobs/fetch/limits.ts'
import { fetchSpec } from '../../../src/jobs/fetch/spec.ts'
import { TestDns } from '../../support/dns.ts'
import {
  isExpected,
  type Outcome,
  readVectors,
  SHARED_VECTORS,
  settingsOf,
  VECTORS_COPY,
  type Vector,
  withPort,
} from '../../support/vectors.ts'

const { vectors, profiles, dns } = readVectors()
const PORT = 8_000
const ADDRESSES_OF_SERVERS = ['127.0.0.10', '127.0.0.11']

const policies = new Map(
  Object.entries(profiles).map(([name, profile]) => [name, new EgressPolicy(settingsOf(profile))]),
)

function policyOf({ profile }: Vector): EgressPolicy {
  const policy = policies.get(profile)
  if (!policy) throw new Error(`There is no profile ${profile}.`)
  return policy
}

function outcomeOfUrl(text: string, policy: EgressPolicy, base?: URL): Outcome {
  const result = checkUrl(withPort(text, PORT), policy, base)
  if (result instanceof URL) return 'allowed'
  return result.verdict === 'denied' ? 'blocked' : 'invalid'
}

/** What a submission comes to: the URL by the guard, headers and method by the schema of a fetch. */
function outcomeOfSubmission(vector: Vector): Outcome {
  const { url, headers, method } = vector
  const rest = { ...(headers && { headers }), ...(method !== undefined && { method }) }
  const isRight = fetchSpec(DEFAULT_FETCH_LIMITS).safeParse({ url: 'http://example.com/', ...rest }).success
  return isRight ? outcomeOfUrl(url, policyOf(vector)) : 'invalid'
}

/** One hop without its connection: checked, resolved once, judged. The addresses that would be connected to. */
async function hop(url: URL, policy: EgressPolicy, server: string): Promise<string[]> {
  const target = { host: hostOfUrl(url), port: portOf(url) }
  return policy.judge(target, await nameResolver({ servers: [server] })(target.host)).map(({ address }) => address)
}

async function outcomeOfHop(vector: Vector, server: string): Promise<{ outcome: Outcome; addresses: string[] }> {
  const url = checkUrl(withPort(vector.url, PORT), policyOf(vector))
  if (!(url instanceof URL)) return { outcome: url.verdict === 'denied' ? 'blocked' : 'invalid', addresses: [] }
  try {
    return { outcome: 'allowed', addresses: await hop(url, policyOf(vector), server) }
  } catch (error) {
    if (!(error instanceof EgressDeniedError)) throw error
    return { outcome: 'blocked', addresses: [] }
  }
}

/** What only a service can show: servers, counts of redirects, deadlines. */
const isForService = ({ error_any_of, assert_request, expect_status }: Vector) =>
  error_any_of !== undefined || assert_request !== undefined || expect_status !== undefined

const submitted = vectors.filter(({ run }) => run !== 'execute')
const executed = vectors.filter(({ run }) => run === 'execute')
const named = executed.filter((vector) => !vector.server_script && !isForService(vector))
const redirecting = executed.filter((vector) => vector.server_script && !isForService(vector))

describe('the vectors', () => {
  it('are the same in the repository as where they are shared', () => {
    const copy = readFileSync(VECTORS_COPY, 'utf8')

    expect(existsSync(SHARED_VECTORS) ? readFileSync(SHARED_VECTORS, 'utf8') : copy).toBe(copy)
  })

  it('are decided here, but for those that need servers', () => {
    const left = executed.filter(isForService).map(({ id }) => id)

    expect(submitted.length + named.length + redirecting.length + left.length).toBe(vectors.length)
    expect(left).toEqual([
      'dns-error-003',
      'redirect-033',
      'redirect-034',
      'redirect-036',
      'redirect-037',
      'redirect-038',
    ])
  })
})

describe('at submission', () => {
  it.each(submitted)('$id: $url is $expected ($why)', (vector) => {
    const outcome = outcomeOfSubmission(vector)

    expect(isExpected(vector, outcome), `${outcome}, expected ${vector.expected}`).toBe(true)
  })
})

describe('at a connection', () => {
  it.each(named)('$id: $url is $expected ($why)', async (vector) => {
    await using server = await TestDns.start(dns)

    for (const expected of vector.repeat ?? [vector.expected]) {
      const { outcome, addresses } = await outcomeOfHop(vector, server.server)

      expect(outcome).toBe(expected)
      expect(ADDRESSES_OF_SERVERS).toEqual(expect.arrayContaining(addresses))
    }
  })
})

describe('at a redirect', () => {
  it.each(redirecting)('$id: $url is $expected ($why)', (vector) => {
    const policy = policyOf(vector)
    let url = new URL(withPort(vector.url, PORT))
    let outcome = outcomeOfUrl(url.href, policy)
    for (let answer = answerTo(vector, url); answer && outcome === 'allowed'; answer = answerTo(vector, url)) {
      const location = withPort(String(answer.location), PORT)
      outcome = outcomeOfUrl(location, policy, url)
      url = new URL(location, url)
    }

    expect(outcome).toBe(vector.expected)
  })

  function answerTo({ server_script = [] }: Vector, { pathname }: URL) {
    return server_script.find(({ path }) => path === pathname)
  }
})
