import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Config } from '../config.ts'
import { EdgeError } from './errors.ts'

/** Methods that change nothing, and whose answers another site cannot read. */
const HARMLESS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Where nobody needs a key, what a browser can be made to send must not do: a page whose name is made to lead to this machine (DNS
 * rebinding) sends its own name as `Host`, and a page of another site its own as `Origin`. A hook for `onRequest`.
 */
export function refuseOtherSites(app: FastifyInstance, { auth, host }: Pick<Config, 'auth' | 'host'>): void {
  if (auth !== 'off') return
  app.addHook('onRequest', async (request) => {
    if (!isOurName(request.headers.host, host))
      throw new EdgeError(
        'forbidden',
        'Without authentication only requests for localhost or a loopback address are answered: see the Host header.',
      )
    if (!HARMLESS.has(request.method) && isFromAnotherSite(request, host))
      throw new EdgeError('forbidden', 'Without authentication no page of another site may do this.')
  })
}

/** Only HTTP/1.0 has no Host, and no browser speaks that. */
function isOurName(name: string | undefined, host: string): boolean {
  return name === undefined || isLocal(hostnameOf(name), host)
}

function isFromAnotherSite({ headers }: FastifyRequest, host: string): boolean {
  const { origin } = headers
  if (headers['sec-fetch-site'] === 'cross-site') return true
  if (origin === undefined) return false
  return !isLocal(hostnameOf(/^https?:\/\/(.*)$/i.exec(origin)?.[1] ?? ''), host)
}

/** Of `name:port` or `[address]:port`, the port or not; empty for what is neither. */
function hostnameOf(text: string): string {
  const [, bracketed, plain = ''] = /^(?:\[([0-9a-f:.]+)\]|([^:[\]@/]+))(?::\d{0,5})?$/i.exec(text) ?? []
  return (bracketed ?? plain).toLowerCase()
}

function isLocal(hostname: string, host: string): boolean {
  if (hostname === 'localhost' || hostname === '::1') return true
  return /^127(\.\d{1,3}){3}$/.test(hostname) || hostname === host.toLowerCase()
}
