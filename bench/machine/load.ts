import { readFile } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

const [LOOKS, APART_MS] = [20, 50]

/**
 * What else the machine does: its load of the last minute, or what is runnable beside us over a second if that is less, since the measure before
 * this one is in the last minute as well.
 */
export async function loadNow(): Promise<number> {
  let runnable = 0
  for (let i = 0; i < LOOKS; i++) {
    runnable += runnableIn(await readFile('/proc/loadavg', 'utf8').catch(() => ''))
    await sleep(APART_MS)
  }
  return Math.min(loadavg()[0], runnable / LOOKS)
}

/** The threads that run or could, less the one that asks; infinite where Linux does not say. See proc_loadavg(5). */
export function runnableIn(text: string): number {
  const runnable = /^(?:\S+ ){3}(\d+)\//.exec(text)?.[1]
  return runnable === undefined ? Infinity : Math.max(0, Number(runnable) - 1)
}
