import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { text as textOf } from 'node:stream/consumers'
import { ConfigError } from '../../errors.ts'
import { type KeyDesk, type KeyInfo, noSuchKey } from './desk.ts'

/** What a 401 means here; the service's own words are for callers with an API key. */
const NO_ADMIN_KEY =
  'The service answered 401: this admin key is not its GATHERD_ADMIN_KEY, nor a key with scope admin that is good.'

/** An answer of the admin API, its body parsed. */
interface Answer {
  status: number
  body: unknown
}

/**
 * The keys of a running service, by its admin API.
 * @throws {ConfigError} without an admin key or with a URL that is none.
 */
export function adminKeys(url: string, adminKey: string | undefined): KeyDesk {
  const base = baseOf(url)
  if (adminKey === undefined) throw new ConfigError('--url needs GATHERD_ADMIN_KEY or --admin-key as well.')
  const call = (method: string, path: string, body?: unknown) => send({ base, adminKey, method, path, body })
  return {
    async create(tenantId, options) {
      const tenant = `/v1/admin/tenants/${tenantId}`
      // Only a tenant that is missing is made: PUT would replace the settings of one that is there.
      const isNewTenant = (await call('GET', tenant)).status === 404
      if (isNewTenant) expectOk(await call('PUT', tenant, {}))
      // The API's NewKey.
      const made = expectOk(await call('POST', `${tenant}/keys`, options)) as KeyInfo & { key: string }
      return { made, isNewTenant }
    },
    async list(tenantId) {
      // The API's KeyList.
      return (expectOk(await call('GET', `/v1/admin/tenants/${tenantId}/keys`)) as { data: KeyInfo[] }).data
    },
    async revoke(tenantId, keyId) {
      const answer = await call('DELETE', `/v1/admin/tenants/${tenantId}/keys/${encodeURIComponent(keyId)}`)
      if (codeOf(answer) === 'not_found') throw noSuchKey(tenantId, keyId)
      expectOk(answer)
    },
    close: async () => undefined,
  }
}

function baseOf(url: string): URL {
  const base = URL.parse(url)
  if (base !== null && (base.protocol === 'http:' || base.protocol === 'https:')) return base
  throw new ConfigError(`--url is where the service is, such as http://127.0.0.1:3000, and not "${url}".`)
}

/** One request to the operator's own service: nothing of a tenant goes this way, so it is not the egress's. */
async function send(call: {
  base: URL
  adminKey: string
  method: string
  path: string
  body: unknown
}): Promise<Answer> {
  const { base, adminKey, method, path, body } = call
  const url = new URL(path, base)
  const headers = {
    authorization: `Bearer ${adminKey}`,
    accept: 'application/json',
    'content-type': 'application/json',
  }
  const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, { method, headers, agent: false })
  const answered = new Promise<Answer>((resolve, reject) => {
    request.once('error', reject)
    request.once('response', (response) => {
      const status = response.statusCode ?? 0
      textOf(response).then((text) => resolve({ status, body: parseOrNull(text) }), reject)
    })
  })
  request.end(body === undefined ? undefined : JSON.stringify(body))
  return await answered.catch((cause: NodeJS.ErrnoException) => {
    throw new ConfigError(`${base.origin} does not answer: ${cause.message || cause.code}.`, { cause })
  })
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // An empty answer, or not our service's: its status says enough.
    return null
  }
}

/** The body of a success. @throws {ConfigError} with what the service's problem document says. */
function expectOk(answer: Answer): unknown {
  const { status, body } = answer
  if (status >= 200 && status < 300) return body
  if (status === 401) throw new ConfigError(NO_ADMIN_KEY)
  const problem = objectOf(body)
  const detail = 'detail' in problem ? `: ${problem.detail}` : ''
  throw new ConfigError(`The service answered ${status} (${codeOf(answer) ?? 'no problem document'})${detail}`)
}

/** The code of a problem document; undefined for any other body. */
function codeOf({ body }: Answer): string | undefined {
  const problem = objectOf(body)
  return 'code' in problem ? String(problem.code) : undefined
}

function objectOf(body: unknown): object {
  return typeof body === 'object' && body !== null ? body : {}
}
