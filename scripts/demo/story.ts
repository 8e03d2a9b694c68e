import { Api, type Batch, type Job } from './api.ts'
import { Chart, outcomeOf } from './chart.ts'
import type { DemoOrigin } from './origin.ts'
import type { Screen } from './screen.ts'

/** A tenant of the demo, its cap and a key of its own. */
export interface DemoTenant {
  id: string
  cap: number
  api: Api
  key: string
}

/** What the chapters of the demo share. */
export interface Story {
  screen: Screen
  origin: DemoOrigin
  /** Say what was promised and whether it held; the demo's exit status depends on it. */
  promise(what: string, held: boolean): void
}

type Spec = { kind: string; name: string } & Record<string, unknown>

/** A fetch of the demo's origin on behalf of a tenant. */
export function fetchOf(origin: DemoOrigin, by: string, name: string, path: string, ms?: number): Spec {
  const query = `by=${by}${ms === undefined ? '' : `&ms=${ms}`}`
  return { kind: 'fetch', name, url: `${origin.url}${path}?${query}`, response: 'json' }
}

/** Make a tenant with a cap, and a key for it. */
export async function newTenant(url: string, admin: Api, id: string, cap: number): Promise<DemoTenant> {
  await admin.call('PUT', `/v1/admin/tenants/${id}`, { maxConcurrency: cap })
  const { key } = await admin.call<{ key: string }>('POST', `/v1/admin/tenants/${id}/keys`, { name: 'demo' })
  return { id, cap, key, api: new Api({ url, key }) }
}

/** A batch that was followed to its end. */
export interface Followed {
  batch: Batch
  /** In input order, as read. */
  jobs: Job[]
  /** Indexes in the order in which the stream showed their ends. */
  completions: number[]
}

/** Submit a batch for each tenant at the same time, and draw all of them until they have drained. */
export async function followAll(
  { screen }: Story,
  batches: { tenant: DemoTenant; title: string; body: { jobs: Spec[] } & Record<string, unknown> }[],
): Promise<Followed[]> {
  const accepted = await Promise.all(
    batches.map(({ tenant, body }) => tenant.api.call<Batch>('POST', '/v1/batches', body)),
  )
  const charts = batches.map(({ title, body }, i) => {
    const { acceptedAt } = accepted[i]
    return new Chart({ title, names: body.jobs.map(({ name }) => name), acceptedAt })
  })
  const height = charts.reduce((sum, chart) => sum + chart.height, 0)
  const live = screen.isLive(height)
  const follow = async (i: number): Promise<Followed> => {
    const { api, id } = batches[i].tenant
    const completions: number[] = []
    for await (const event of api.events(accepted[i].id)) {
      const line = charts[i].apply(event)
      if (line !== null && !live) screen.print(`  ${id.padEnd(7)} ${line}`)
      if (event.job !== undefined) completions.push(event.job.index)
    }
    const batch = await api.call<Batch>('GET', `/v1/batches/${accepted[i].id}`)
    return { batch, jobs: await api.jobs(batch.id), completions }
  }
  return await screen.whileDrawing(
    height,
    (now, paint) => charts.flatMap((chart) => chart.lines(now, paint)),
    () => Promise.all(batches.map((_, i) => follow(i))),
  )
}

/** Results as a table in the order given. */
export function resultLines(jobs: Job[]): string[] {
  return jobs.map(({ index, name, result, ...job }) => {
    const value = typeof result === 'object' ? (result?.body ?? null) : result
    const shown = value === null ? '' : JSON.stringify(value)
    const outcome = outcomeOf({ index, name, result, ...job }).padEnd(22)
    return `  ${String(index).padStart(2)}  ${name.padEnd(9)} ${outcome} ${shown}`.trimEnd()
  })
}
