import { request } from 'undici'
import type { Caller } from '../machine/tenants.ts'

/** What following a batch came to. */
export interface Followed {
  /** Events that did not come, or came twice. */
  gaps: number
  /** How often it was connected. */
  connections: number
}

/** Read a batch's events to the last; hang up after each `part` of them and go on where they ended. */
export async function follow(caller: Caller, id: string, part: number): Promise<Followed> {
  const found = { gaps: 0, connections: 0 }
  for (let after = 0; ; ) {
    const { seqs, drained } = await read(caller, id, after, part)
    found.connections++
    found.gaps += gapsIn(after, seqs)
    after = seqs.at(-1) ?? after
    if (drained) return found
  }
}

/** Of numbers that should follow on `after` without a gap, how many do not. */
export function gapsIn(after: number, seqs: readonly number[]): number {
  return seqs.filter((seq, i) => seq !== (i === 0 ? after : seqs[i - 1]) + 1).length
}

async function read(caller: Caller, id: string, after: number, part: number) {
  const headers = { authorization: `Bearer ${caller.key}`, accept: 'application/x-ndjson' }
  const url = `${caller.url}/v1/batches/${id}/events?after=${after}`
  const { body, statusCode } = await request(url, { headers })
  if (statusCode !== 200) throw new Error(`${statusCode} ${await body.text()}`)
  let text = ''
  for await (const chunk of body.setEncoding('utf8')) {
    text += chunk
    if (text.split('\n').length > part) break
  }
  const lines = text.split('\n').slice(0, -1).filter(Boolean)
  // Each line is an event.
  const events = lines.map((line) => JSON.parse(line) as { seq: number; type: string })
  return { seqs: events.map(({ seq }) => seq), drained: events.at(-1)?.type === 'batch.drained' }
}
