// gatherd from JavaScript: Node 24 and nothing else. Needs GATHERD_URL (http://127.0.0.1:3000) and GATHERD_KEY (gth_…).
import { setTimeout } from 'node:timers/promises'

const { GATHERD_URL: url = 'http://127.0.0.1:3000', GATHERD_KEY: key } = process.env
if (!key) throw new Error('GATHERD_KEY is not set: it is the key that the service printed at its first start')

/** One call of the API. Throws what its problem document says, with `problem` as a property. */
async function call(method, path, { body, accept = 'application/json', headers, signal } = {}) {
  const response = await fetch(url + path, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      accept,
      ...(body && { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body && JSON.stringify(body),
    signal,
  })
  if (response.ok) return response
  const problem = await response.json()
  const wrong = (problem.errors ?? []).map(({ pointer, detail }) => ` ${pointer}: ${detail}`).join('')
  throw Object.assign(new Error(`${problem.code}: ${problem.detail}${wrong}`), { problem })
}

const submit = async (batch) => (await call('POST', '/v1/batches', { body: batch })).json()
const cancel = async (batch, reason) =>
  (await call('POST', `/v1/batches/${batch.id}/cancel`, { body: { reason } })).json()

/** The results in input order, once the batch has settled. Rejects when it did not succeed, as Promise.all would. */
async function gather(batch) {
  const { id } = await submit(batch)
  for (;;) {
    const path = `/v1/batches/${id}?include=jobs`
    const settled = await (await call('GET', path, { headers: { prefer: 'wait=30' } })).json()
    if (settled.settledAt === null) continue
    if (settled.state === 'succeeded') return settled.jobs.map(({ result }) => result)
    throw Object.assign(new Error(settled.error.message), { batch: settled })
  }
}

/** Lines of one response, as they come. */
async function* linesOf(response) {
  let rest = ''
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split('\n')
    rest = lines.pop()
    yield* lines
  }
}

/** Every event of a batch once, in order, whatever happens to the connection. */
async function* events({ id }, { signal } = {}) {
  let after = 0
  for (;;) {
    try {
      const response = await call('GET', `/v1/batches/${id}/events?after=${after}`, {
        accept: 'application/x-ndjson',
        signal: signal?.(),
      })
      if (response.status === 204) return
      for await (const line of linesOf(response)) {
        const event = JSON.parse(line)
        after = event.seq ?? after
        yield event
        if (event.type === 'batch.drained') return
      }
    } catch (error) {
      if (error.problem) throw error
      console.log(`  (cut after event ${after}: connecting again)`)
    }
    await setTimeout(200)
  }
}

console.log('gather: results in input order')
console.log(
  await gather({
    policy: 'gather',
    jobs: [
      { kind: 'sleep', durationMs: 200, result: 'slow' },
      { kind: 'fetch', url: `${url}/livez`, response: 'json', timeoutMs: 5_000 },
      { kind: 'sleep', durationMs: 10, result: 'fast' },
    ],
  }).then(([slow, { body }, fast]) => [slow, body, fast]),
)

console.log('stream, cut off in the middle and resumed: each event once')
const naps = await submit({
  jobs: [50, 150, 250].map((durationMs) => ({ kind: 'sleep', durationMs, result: durationMs })),
})
const cut = new AbortController()
let connections = 0
for await (const { seq, type, job } of events(naps, { signal: () => (connections++ === 0 ? cut.signal : undefined) })) {
  console.log(`  ${seq} ${type}${job ? ` ${JSON.stringify(job.result)}` : ''}`)
  // What a proxy, a deployment or a train in a tunnel would do.
  if (type === 'job.succeeded') cut.abort()
}

console.log('task_group: the first failure cancels the rest')
await gather({
  policy: 'task_group',
  jobs: [
    { kind: 'fetch', url: `${url}/no-such-page`, timeoutMs: 5_000 },
    { kind: 'sleep', durationMs: 60_000 },
  ],
}).catch(({ batch }) => {
  console.log(`  ${batch.state}: ${batch.error.errors.map(({ type, message }) => `${type}: ${message}`)}`)
  console.log(`  jobs: ${batch.jobs.map(({ state }) => state)}`)
})

console.log('cancel')
const long = await submit({ jobs: [{ kind: 'sleep', durationMs: 60_000 }] })
const { cancelled } = await cancel(long, 'changed my mind')
for await (const { type, reason } of events(long))
  if (type === 'job.cancelled') console.log(`  cancelled: ${cancelled}, ${type}, "${reason}"`)
