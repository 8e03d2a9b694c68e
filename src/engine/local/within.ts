import type { Clock } from '../../clock.ts'

/** Resolves when `done` does, or after `timeoutMs`: at once when that is not above 0. */
export async function within(clock: Clock, timeoutMs: number, done: Promise<void>): Promise<void> {
  if (timeoutMs <= 0) return
  const over = Promise.withResolvers<void>()
  const timer = clock.after(timeoutMs, over.resolve)
  await Promise.race([done, over.promise])
  timer.cancel()
}
