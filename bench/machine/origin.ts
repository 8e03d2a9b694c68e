import { createServer, type ServerResponse } from 'node:http'

/** A target that answers nothing until it is told to. */
export interface HoldingOrigin extends AsyncDisposable {
  url: string
  /** Resolves with when the first request of these came in, once `count` of them are held. */
  holds(count: number): Promise<number>
  /** When each caller whose request was held has hung up, `performance.now()`, since `forget`. */
  gone: readonly number[]
  /** Answer the first that is held; when, `performance.now()`. */
  answerOne(): number
  /** Forget the requests whose caller is gone. */
  forget(): void
  /** Answer what is held, and all that comes from now on. */
  release(): void
}

/** Start one on a free port of 127.0.0.1. */
export async function holdingOrigin(): Promise<HoldingOrigin> {
  let held: { at: number; response: ServerResponse }[] = []
  const gone: number[] = []
  let released = false
  let arrived: (() => void) | null = null
  const server = createServer((_request, response) => {
    if (released) return void response.end('ok')
    held.push({ at: Date.now(), response })
    response.once('close', () => {
      if (!response.writableEnded) gone.push(performance.now())
    })
    arrived?.()
  }).listen(0, '127.0.0.1', 4_096)
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const holds = (count: number) =>
    new Promise<number>((resolve) => {
      arrived = () => {
        if (held.length >= count) resolve(held[0].at)
      }
      arrived()
    })
  return {
    url: `http://127.0.0.1:${address.port}/`,
    holds,
    gone,
    answerOne() {
      const first = held.shift()
      const at = performance.now()
      first?.response.end('ok')
      return at
    },
    forget() {
      held = []
      gone.length = 0
    },
    release() {
      released = true
      for (const { response } of held.splice(0)) response.end('ok')
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
