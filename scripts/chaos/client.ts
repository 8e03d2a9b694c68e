import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer, Api } from './api.ts'
import type { Acknowledged, Ledger } from './ledger.ts'
import type { Random } from './random.ts'
import type { Submissions } from './submissions.ts'

/** What a client is given. */
export interface ClientParts {
  name: string
  tenant: string
  api: Api
  random: Random
  submissions: Submissions
  ledger: Ledger
  /** Batches it submits. */
  batches: number
}

const ENDED = new Set(['succeeded', 'failed', 'timed_out', 'cancelled'])

/** Submits batches, follows and meddles with them, and repeats whatever had no answer; done when all of them have drained. */
export async function runClient(parts: ClientParts): Promise<void> {
  const { random, batches } = parts
  const followed: Promise<unknown>[] = []
  for (let nth = 0; nth < batches; nth++) {
    const batch = await submit(parts, `${parts.name}-${nth}`)
    if (batch !== null) followed.push(...attend(parts, batch))
    await sleep(random.between(0, 250))
  }
  await Promise.all(followed)
}

/** All that goes on around a batch at once. */
function attend(parts: ClientParts, batch: Acknowledged): Promise<void>[] {
  const { random } = parts
  const around = [new Follower(parts, batch, false).run(), meddle(parts, batch, random.fork())]
  if (random.chance(0.3)) around.push(new Follower(parts, batch, true).run())
  if (random.chance(0.3)) around.push(wait(parts, batch))
  return around
}

async function submit({ api, tenant, submissions, ledger }: ClientParts, key: string): Promise<Acknowledged | null> {
  const body = submissions.batch(key)
  const answer = await api.call('POST', '/v1/batches', body, { 'idempotency-key': key })
  if (answer.status === 202) return ledger.accept({ id: answer.body.id, tenant, key, body, answer: answer.text })
  ledger.fail(`the submission ${key} was answered ${answer.status} ${answer.text}`)
  return null
}

/** What happens to a batch beside its own work. */
async function meddle(parts: ClientParts, batch: Acknowledged, random: Random): Promise<void> {
  const { api, ledger } = parts
  const expect = (answer: Answer, statuses: number[], what: string) => {
    if (!statuses.includes(answer.status))
      ledger.fail(`${what} of ${batch.id} was answered ${answer.status} ${answer.text}`)
  }
  const pause = () => sleep(random.between(0, 500))
  if (random.chance(0.2)) {
    await pause()
    const index = random.between(0, batch.body.jobs.length - 1)
    expect(await api.call('POST', `/v1/jobs/${batch.id}-${index}/cancel`, { reason: 'mine' }), [200, 202], 'a cancel')
  }
  if (random.chance(0.15)) {
    await pause()
    const change = random.pick([{ priority: 5 }, { deadlineMs: 4_000 }, { timeoutMs: null }])
    const index = random.between(0, batch.body.jobs.length - 1)
    // Its clocks may not be those that were submitted any more.
    batch.changed.add(batch.body.jobs[index].name)
    expect(await api.call('PATCH', `/v1/jobs/${batch.id}-${index}`, change), [200, 409], 'a change')
  }
  if (random.chance(0.12)) {
    await pause()
    const answer = await api.call('POST', `/v1/batches/${batch.id}/cancel`, { reason: 'enough' })
    expect(answer, [200, 202], 'a cancel')
    if (answer.body.cancelled) batch.cancelled = true
  }
  await poll(parts, batch)
  if (batch.body.open !== true) return
  for (let nth = 0; random.chance(0.6); nth++) {
    await pause()
    await append(parts, batch, `${batch.key}-more${nth}`)
  }
  await pause()
  expect(await api.call('POST', `/v1/batches/${batch.id}/close`), [200], 'a close')
}

/** Append jobs; a repeated append whose first answer was lost finds its names taken. */
async function append({ api, submissions, ledger }: ClientParts, batch: Acknowledged, prefix: string): Promise<void> {
  const jobs = submissions.jobs(prefix, 2)
  for (const body of jobs) batch.jobs.set(body.name, { body, sure: false })
  const { status, text } = await api.call('POST', `/v1/batches/${batch.id}/jobs`, { jobs })
  if (status === 201 || (status === 422 && text.includes('is named')))
    for (const body of jobs) batch.jobs.set(body.name, { body, sure: true })
  else if (status !== 409) ledger.fail(`an append to ${batch.id} was answered ${status} ${text}`)
}

/** Read the batch once; ends seen so must stay as well. */
async function poll({ api, ledger }: ClientParts, batch: Acknowledged): Promise<void> {
  const { status, text, body } = await api.call('GET', `/v1/batches/${batch.id}?include=jobs`)
  if (status !== 200) return ledger.fail(`${batch.id} was acknowledged and is ${status} ${text}`, 'lost')
  for (const job of body.jobs) if (ENDED.has(job.state)) ledger.end(batch, job)
}

/** Wait for some of a batch; what is done then must stay. */
async function wait({ api, ledger, random }: ClientParts, batch: Acknowledged): Promise<void> {
  const returnWhen = random.pick(['ALL_COMPLETED', 'FIRST_COMPLETED', 'FIRST_EXCEPTION'])
  const query = `returnWhen=${returnWhen}&timeoutMs=${random.between(0, 3_000)}`
  const { status, text, body } = await api.call('GET', `/v1/batches/${batch.id}/wait?${query}`)
  if (status !== 200) return ledger.fail(`a wait for ${batch.id} was answered ${status} ${text}`)
  for (const job of body.done) ledger.end(batch, job)
  if (new Set(body.pending).size + body.done.length < batch.body.jobs.length)
    ledger.fail(`a wait for ${batch.id} has ${body.done.length} done and ${body.pending.length} pending`, 'lost')
}

/** Follows the log of a batch, or its completions only, over any number of connections, from the last event it has. */
class Follower {
  readonly #parts: ClientParts
  readonly #batch: Acknowledged
  readonly #random: Random
  readonly #completions: boolean
  readonly #ended = new Set<number>()
  #last = 0
  #drained = false

  constructor(parts: ClientParts, batch: Acknowledged, completions: boolean) {
    this.#completions = completions
    this.#parts = parts
    this.#batch = batch
    this.#random = parts.random.fork()
  }

  /** Resolves at `batch.drained`. */
  async run(): Promise<void> {
    const { api } = this.#parts
    while (!this.#drained) {
      try {
        await this.#connect()
      } catch (error) {
        // A connection that broke, unless the round is over.
        if (error instanceof Error && error.name === 'TimeoutError') throw error
      }
      if (!this.#drained) await api.pause()
    }
  }

  async #connect(): Promise<void> {
    const { api, ledger } = this.#parts
    const isSse = this.#random.chance(0.5)
    const response = await api.open(
      'GET',
      `/v1/batches/${this.#batch.id}/events${this.#completions ? '?only=completions' : ''}`,
      undefined,
      {
        accept: isSse ? 'text/event-stream' : 'application/x-ndjson',
        'last-event-id': String(this.#last),
      },
    )
    if (response.status === 404) {
      this.#drained = true
      return ledger.fail(`the stream of ${this.#batch.id} is not found`, 'lost')
    }
    if (response.status !== 200) return await response.body?.cancel()
    // Some readers hang up in the middle.
    let patience = this.#random.chance(0.2) ? this.#random.between(1, 10) : Number.POSITIVE_INFINITY
    for await (const line of linesOf(response)) {
      const text = isSse ? dataOf(line) : line
      if (text !== null) this.#take(text)
      if (--patience <= 0) return
    }
  }

  #take(text: string): void {
    const { ledger } = this.#parts
    const { seq, type, index } = JSON.parse(text)
    if (seq === undefined) return
    if (this.#completions ? seq <= this.#last : seq !== this.#last + 1)
      ledger.fail(`${this.#batch.id}: event ${seq} follows ${this.#last}`)
    if (this.#completions && this.#ended.has(index))
      ledger.fail(`${this.#batch.id}: job ${index} ended twice`, 'doubled')
    this.#ended.add(index)
    this.#last = seq
    ledger.event(this.#batch, seq, text)
    if (type === 'batch.drained') this.#drained = true
  }
}

/** Whole lines only: what a crash cut off is no event. */
async function* linesOf(response: Response): AsyncGenerator<string, void, undefined> {
  let rest = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body ?? []) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line !== '') yield line
  }
}

function dataOf(line: string): string | null {
  return line.startsWith('data: ') ? line.slice('data: '.length) : null
}
