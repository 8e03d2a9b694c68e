import type { RouteOptions } from 'fastify'

/** Which methods each path takes, so that a wrong method can be told from an unknown path. */
export class RouteTable {
  readonly #routes: { pattern: RegExp; methods: string[] }[] = []

  /** Note a route; for Fastify's `onRoute`. */
  add({ url, method }: Pick<RouteOptions, 'url' | 'method'>): void {
    const source = url.split('/').map((part) => (/^[:*]/.test(part) ? '[^/]+' : part.replaceAll('.', String.raw`\.`)))
    this.#routes.push({ pattern: new RegExp(`^${source.join('/')}$`), methods: [method].flat() })
  }

  /** The methods that the path of a request's URL takes; none when nobody knows it. */
  methodsOf(url: string): string[] {
    const path = url.split('?', 1)[0] ?? ''
    const methods = this.#routes.filter(({ pattern }) => pattern.test(path)).flatMap((route) => route.methods)
    return [...new Set(methods)].sort()
  }
}
