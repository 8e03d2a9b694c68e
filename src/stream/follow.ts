import type { Clock } from '../clock.ts'
import type { StreamEvent } from '../engine/engine.ts'
import { type Framing, frameAll } from './frames.ts'

/** Milliseconds without an event after which a comment shows that the stream lives. */
export const HEARTBEAT_MS = 15_000

/**
 * The text of a stream of events in UTF-8, a chunk for each array of them, shared by all who follow the same. Nothing is fetched before the consumer asks, so a slow
 * reader is served from the log. Returning lets go of the events.
 */
export async function* follow(
  events: AsyncIterable<StreamEvent[]>,
  framing: Framing,
  clock: Clock,
): AsyncGenerator<string | Buffer, void, undefined> {
  const iterator = events[Symbol.asyncIterator]()
  try {
    if (framing.opening !== '') yield framing.opening
    for (;;) {
      const next = iterator.next()
      while (framing.heartbeat !== '' && (await quiet(next, clock))) yield framing.heartbeat
      const { done, value } = await next
      if (done) return
      if (value.length > 0) yield frameAll(value, framing)
    }
  } finally {
    await iterator.return?.()
  }
}

/** True when `HEARTBEAT_MS` pass before `next` settles; never rejects, for `next` is awaited by the caller. */
function quiet(next: Promise<unknown>, clock: Clock): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.after(HEARTBEAT_MS, () => resolve(true))
    const settled = () => {
      timer.cancel()
      resolve(false)
    }
    next.then(settled, settled)
  })
}
