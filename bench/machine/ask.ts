import type { BenchService } from './service.ts'

/** What a service is asked by its parent; `reset` begins the delays anew. */
export type Question = 'look' | 'reset'

/** What a service sees of itself. */
export interface Inside {
  /** How late its event loop was since the last `reset`, in milliseconds. */
  lag: { p50Ms: number; p99Ms: number; maxMs: number }
  rssBytes: number
  heapBytes: number
  externalBytes: number
  /** Timers, sockets and whatever else keeps its loop running. */
  resources: number
}

/** Ask a service that was started with `inside`. */
export function ask({ process: child }: Pick<BenchService, 'process'>, question: Question): Promise<Inside> {
  return new Promise((resolve, reject) => {
    const exit = () => reject(new Error('the service ended'))
    child.once('exit', exit)
    // It says nothing else.
    child.once('message', (inside: unknown) => {
      child.off('exit', exit)
      resolve(inside as Inside)
    })
    child.send(question)
  })
}
