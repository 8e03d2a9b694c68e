import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Config } from '../config.ts'
import { EdgeError } from './errors.ts'

/** Methods that change nothing, and whose answers another site cannot read. */
const HARMLESS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Where nobody needs a key, what a browser can be made to send must not do: a page whose name is made to lead to this machine (DNS
 * rebinding) sends its own name as `Host`, and a page of another origin, this machine's others included, its own as `Origin`. A hook for `onRequest`.
 */
export function refuseOtherSites(app: FastifyInstance, { auth, host }: Pick<Config, 'auth' | 'host'>): void {
  if (auth !== 'off') return
  app.addHook('onRequest', async (request) => {
    if (!isOurName(request.headers.host, host))
      throw new EdgeError(
        'forbidden',
        'Without authentication only requests for localhost or a loopback address are answered: see the Host header.',
      )
    if (!HARMLESS.has(request.method) && isFromAnotherOrigin(request))
      throw new EdgeError('forbidden', 'Without authentication no page of another origin may do this.')
  })
}

/** Whether a `Host` is a name of this machine, or `host`, on which we listen; all are when that is every address or none of this machine's. */
export function isLocalName(name: string | undefined, host: string): boolean {
  return !isLocal(host.toLowerCase(), '') || isOurName(name, host)
}

/** Only HTTP/1.0 has no Host, and no browser speaks that. */
function isOurName(name: string | undefined, host: string): boolean {
  return name === undefined || isLocal(hostnameOf(name), host)
}

/** A browser says `same-origin` of our own pages, and `none` of what its user does without a page. */
function isFromAnotherOrigin({ headers }: FastifyRequest): boolean {
  const { origin, host = '' } = headers
  const site = headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true
  return origin !== undefined && authorityOf(origin) !== host.toLowerCase().replace(/:80$/, '')
}

/** Host and port of an `http` origin, as a browser writes them; the service speaks no other scheme. */
function authorityOf(origin: string): string | undefined {
  return /^http:\/\/(.*)$/.exec(origin.toLowerCase())?.[1]?.replace(/:80$/, '')
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
