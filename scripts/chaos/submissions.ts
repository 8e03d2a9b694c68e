import type { Random } from './random.ts'

/** A job as submitted. */
export type JobBody = Record<string, unknown> & { kind: string; name: string }

/** A batch as submitted. */
export type BatchBody = Record<string, unknown> & { jobs: JobBody[] }

const POLICIES = ['all_settled', 'all_settled', 'gather', 'task_group', 'any', 'race', 'quorum', 'hedge'] as const

/** Draws batches of every sort; the URLs of their fetches are used once in the whole round. */
export class Submissions {
  readonly #random: Random
  readonly #origin: string
  readonly #tenant: string

  constructor({ random, origin, tenant }: { random: Random; origin: string; tenant: string }) {
    this.#random = random
    this.#origin = origin
    this.#tenant = tenant
  }

  batch(key: string): BatchBody {
    const random = this.#random
    const policy = random.pick(POLICIES)
    const jobs = this.jobs(key, random.between(1, 10))
    return {
      policy,
      labels: { chaos: key },
      jobs,
      ...(policy === 'quorum' && { n: random.between(1, jobs.length) }),
      ...(policy === 'hedge' && { hedgeDelayMs: random.between(0, 300) }),
      ...(random.chance(0.2) && { open: true }),
      ...(random.chance(0.15) && { timeoutMs: random.between(100, 3_000) }),
      ...(random.chance(0.3) && { maxConcurrency: random.between(1, 3) }),
    }
  }

  jobs(prefix: string, count: number): JobBody[] {
    return Array.from({ length: count }, (_, i) => this.#job(`${prefix}-${i}`))
  }

  #job(name: string): JobBody {
    const random = this.#random
    return {
      ...(random.chance(0.35) ? this.#sleep(name) : this.#fetch(name)),
      ...(random.chance(0.1) && { timeoutMs: random.between(0, 600) }),
      ...(random.chance(0.1) && { deadlineMs: random.between(50, 2_500) }),
      ...(random.chance(0.1) && { queueTimeoutMs: random.between(50, 1_500) }),
      ...(random.chance(0.15) && { delayMs: random.between(1, 800) }),
      ...(random.chance(0.15) && { shield: true }),
      ...(random.chance(0.15) && { priority: random.between(-3, 3) }),
    }
  }

  #sleep(name: string): JobBody {
    return { kind: 'sleep', name, durationMs: this.#random.between(0, 900), result: name }
  }

  #fetch(name: string): JobBody {
    const random = this.#random
    const status = random.chance(0.15) ? 500 : 200
    return {
      kind: 'fetch',
      name,
      url: `${this.#origin}/${this.#tenant}/${name}?ms=${random.between(0, 400)}&status=${status}`,
      ...(random.chance(0.4) && { method: 'POST', json: { name } }),
      ...(random.chance(0.15) && { onRestart: random.pick(['retry', 'fail']) }),
    }
  }
}

/** Whether an attempt of the job that a crash cut off is not made again. */
export function isOnce(job: JobBody): boolean {
  return job.kind === 'fetch' && (job.onRestart ?? (job.method === 'POST' ? 'fail' : 'retry')) === 'fail'
}
