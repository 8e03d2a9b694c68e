import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { quantile } from '../figures.ts'
import { ask } from '../machine/ask.ts'
import { oneJob } from '../machine/batches.ts'
import { openFiles } from '../machine/proc.ts'
import type { BenchService } from '../machine/service.ts'
import type { Caller } from '../machine/tenants.ts'

/** What is looked at, by name, with its unit; in the order of the chart. */
export const LOOKS = {
  'resident memory': 'MiB',
  heap: 'MiB',
  'files and sockets': 'open',
  resources: 'active',
  'data directory': 'MB',
  'one job, p50': 'ms',
  'one job, p99': 'ms',
  'event loop late, p99': 'ms late',
} as const
/** See {@link LOOKS}. */
export type Look = keyof typeof LOOKS

/** A look at a service: each figure, and how long after the begin, in minutes. */
export interface Sighting {
  minutes: number
  figures: Record<Look, number>
}

/** Submits one job after the other, and knows how long each took. */
export class Probe {
  #took: number[] = []
  /** Probes that were refused, or took too long. */
  failed = 0

  /** Four times a second, until it is told to stop. */
  async run(caller: Caller, url: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await oneJob(caller, url).then(
        ({ whole }) => this.#took.push(whole),
        () => this.failed++,
      )
      await sleep(250)
    }
  }

  /** What jobs took since the last time it was asked, in milliseconds. */
  take(): number[] {
    const took = this.#took
    this.#took = []
    return took
  }
}

/** Look at a service that was started with `inside`. */
export async function sight(service: BenchService, probe: Probe): Promise<Record<Look, number>> {
  const took = probe.take()
  const [seen, bytes] = [await ask(service, 'reset'), await bytesIn(service.dataDir)]
  return {
    'resident memory': seen.rssBytes / 2 ** 20,
    heap: seen.heapBytes / 2 ** 20,
    'files and sockets': openFiles(service.process.pid),
    resources: seen.resources,
    'data directory': bytes / 1e6,
    'one job, p50': quantile(took, 0.5),
    'one job, p99': quantile(took, 0.99),
    'event loop late, p99': seen.lag.p99Ms,
  }
}

/** The bytes of the files in a folder; one that goes meanwhile has none. */
async function bytesIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const sizes = await Promise.all(
    files.map(({ parentPath, name }) =>
      stat(join(parentPath, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}
