// Loaded into the service (--import) by measures that want to know what only it can see; answers each message of its parent's with that.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'
import type { Inside, Question } from './ask.ts'

const RESOLUTION_MS = 1

if (isMainThread && process.send !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  process.on('message', (question: Question) => {
    process.send?.(seen(delay))
    if (question === 'reset') delay.reset()
  })
  // It stops when it would without us.
  process.channel?.unref()
}

/** The histogram has how long a timer of `RESOLUTION_MS` took: what is more than that is delay. */
function seen(delay: ReturnType<typeof monitorEventLoopDelay>): Inside {
  const late = (ns: number) => Math.max(0, ns / 1e6 - RESOLUTION_MS)
  const { rss, heapUsed, external } = process.memoryUsage()
  return {
    lag: { p50Ms: late(delay.percentile(50)), p99Ms: late(delay.percentile(99)), maxMs: late(delay.max) },
    rssBytes: rss,
    heapBytes: heapUsed,
    externalBytes: external,
    resources: process.getActiveResourcesInfo().length,
  }
}
