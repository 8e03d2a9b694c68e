import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { CATALOG, type Declaration } from '../../src/metrics/catalog.ts'
import { parseScrape, type Sample, type Scrape } from '../metrics/parse.ts'
import { ADMIN_KEY, Installation } from '../support/process.ts'
import { freshRedis } from '../support/redis.ts'
import { manifest, read } from './manifests.ts'
import { matches, readPromql, type Selector } from './promql.ts'

interface Rule {
  alert: string
  expr: string
  for?: string
  labels: Record<string, string>
  annotations: Record<string, string>
}

const rules: Rule[] = parse(read('deploy/prometheus/gatherd.rules.yaml')).groups.flatMap(
  (group: { rules: Rule[] }) => group.rules,
)

interface Panel {
  id: number
  type: string
  title: string
  gridPos: { x: number; y: number; w: number; h: number }
  targets?: { expr: string; legendFormat: string }[]
}

const dashboard: { panels: Panel[] } = JSON.parse(read('deploy/grafana/gatherd.json'))
const panels = dashboard.panels.filter(({ type }) => type !== 'row')
const adapter: { seriesQuery: string; metricsQuery: string; name: { as: string } } = parse(
  read('deploy/prometheus/adapter.yaml'),
).rules.custom[0]

/** An expression as Prometheus gets it, with what Grafana and the adapter put into it. */
const filled = (expr: string) =>
  expr
    .replaceAll('$__rate_interval', '5m')
    .replaceAll('"$instance"', '".*"')
    .replaceAll('<<.LabelMatchers>>', 'namespace="gatherd"')
    .replaceAll('<<.GroupBy>>', 'pod')

const expressions: [string, string][] = [
  ...rules.map(({ alert, expr }): [string, string] => [`alert ${alert}`, expr]),
  ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }): [string, string] => [`panel ${title}`, expr])),
  ['seriesQuery of the adapter', adapter.seriesQuery],
  ['metricsQuery of the adapter', adapter.metricsQuery],
]

/** Labels that Prometheus puts there, and its own metric `up`. */
const OF_THE_SCRAPER = new Set(['instance', 'job', 'namespace', 'pod'])

/** What is wrong with a selector, as far as a scrape says; null: nothing. */
function objection(selector: Selector, samples: readonly Sample[]): string | null {
  if (selector.metric === 'up') return null
  const own = samples.filter(({ name }) => name === selector.metric)
  if (own.length === 0) return `There is no ${selector.metric}.`
  for (const matcher of selector.matchers.filter(({ label }) => !OF_THE_SCRAPER.has(label))) {
    const values = own.flatMap(({ labels }) => labels[matcher.label] ?? [])
    if (values.length < own.length) return `${selector.metric} has no label ${matcher.label}.`
    // What is matched by a list names each of them for a reason.
    const wanted = matcher.op.endsWith('~') ? matcher.value.split('|') : [matcher.value]
    const unknown = wanted.filter(
      (value) =>
        !values.some((one) => matches(one, { ...matcher, op: matcher.op.replace('!', '').replace(/^$/, '='), value })),
    )
    if (unknown.length > 0) return `${matcher.label} of ${selector.metric} is never ${unknown}.`
  }
  return null
}

/** Ask a service for its metrics with the operator's key. */
async function scrape(url: string): Promise<Scrape> {
  const answer = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } })
  expect(answer.status).toBe(200)
  return parseScrape(await answer.text())
}

/** Real work, good and bad, so that there is a series of nearly everything. */
async function work(url: string, target: string): Promise<void> {
  const admin = { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' }
  const made = await fetch(`${url}/v1/admin/tenants/default/keys`, { method: 'POST', headers: admin, body: '{}' })
  const { key } = (await made.json()) as { key: string } // What the API answers with.
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json', prefer: 'wait=20' }
  const post = (body: unknown) => fetch(`${url}/v1/batches`, { method: 'POST', headers, body: JSON.stringify(body) })
  const fetchOf = (path: string) => ({ kind: 'fetch', url: target + path })
  const sleep = { kind: 'sleep', durationMs: 1 }
  const cancelled = { kind: 'sleep', durationMs: 60_000 }
  const { id } = (await (await post({ open: true, jobs: [cancelled] })).json()) as { id: string } // As above.
  expect((await fetch(`${url}/v1/batches/${id}/cancel`, { method: 'POST', headers, body: '{}' })).status).toBe(202)
  expect((await fetch(`${url}/v1/batches/${id}/wait`, { headers })).status).toBe(200)
  expect((await post({ policy: 'all_settled', jobs: [{ ...sleep, durationMs: 60_000, timeoutMs: 1 }] })).status).toBe(
    200,
  )
  for (const policy of ['all_settled', 'task_group'])
    expect((await post({ policy, jobs: [sleep, fetchOf('/'), fetchOf('/fail')] })).status).toBe(200)
  expect((await post({ jobs: [{ kind: 'fetch', url: 'http://10.0.0.1/' }] })).status).toBe(422)
  expect((await fetch(`${url}/v1/batches/none/events`, { headers })).status).toBe(404)
}

const NOTHING: Scrape = { samples: [], types: new Map(), helps: new Map() }

/** What services say before anybody has asked them for anything, and after they have worked. */
let fresh = NOTHING
let all = NOTHING
const closing: (() => Promise<unknown>)[] = []

/** One process alone, and two replicas that lend each other slots; each has worked. */
beforeAll(async () => {
  const origin = createServer(({ url }, response) => void response.writeHead(url === '/fail' ? 500 : 200).end('ok'))
  await once(origin.listen(0, '127.0.0.1'), 'listening')
  closing.push(async () => origin.close())
  const target = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`
  const redisUrl = await freshRedis()
  const cluster = { GATHERD_REDIS_URL: redisUrl, GATHERD_MAX_CONCURRENCY: '1' }
  const installations = [new Installation(), new Installation(cluster), new Installation(cluster)]
  closing.push(...installations.map((one) => () => one[Symbol.asyncDispose]()))
  await Promise.all(installations.map((one) => one.start()))
  fresh = await scrapeAll(installations)
  // Whichever of the two owns the tenant, the other one has to ask it.
  for (const { url } of [...installations, installations[1]]) await work(url, target)
  all = await scrapeAll(installations)
}, 120_000)

async function scrapeAll(installations: Installation[]): Promise<Scrape> {
  const scrapes = await Promise.all(installations.map(({ url }) => scrape(url)))
  return {
    samples: scrapes.flatMap(({ samples }) => samples),
    types: new Map(scrapes.flatMap(({ types }) => [...types])),
    helps: new Map(scrapes.flatMap(({ helps }) => [...helps])),
  }
}

afterAll(async () => {
  for (const close of closing.reverse()) await close()
})

describe('what alerts, panels and the autoscaler ask for', () => {
  it.each(expressions)('is there: %s', (_, expr) => {
    const { selectors } = readPromql(filled(expr))

    expect(selectors.map((selector) => objection(selector, all.samples))).toEqual(selectors.map(() => null))
  })

  it.each(expressions)('is grouped by labels that there are: %s', (_, expr) => {
    const { selectors, groupedBy } = readPromql(filled(expr))
    const names = new Set(selectors.map(({ metric }) => metric))
    const labels = new Set(all.samples.flatMap(({ name, labels }) => (names.has(name) ? Object.keys(labels) : [])))

    expect(groupedBy.filter((label) => !labels.has(label) && !OF_THE_SCRAPER.has(label))).toEqual([])
  })

  it('would miss a metric, a label and a value that there is none of', () => {
    const wrong = (expr: string) => readPromql(expr).selectors.map((selector) => objection(selector, all.samples))

    expect(wrong('gatherd_jobs_lost > 0')).toEqual(['There is no gatherd_jobs_lost.'])
    expect(wrong('gatherd_jobs_queued{tenant="a"}')).toEqual(['gatherd_jobs_queued has no label tenant.'])
    expect(wrong('gatherd_jobs_waiting{reason="slot"}')).toEqual(['reason of gatherd_jobs_waiting is never slot.'])
    expect(wrong('gatherd_jobs_ended_total{state=~"failed|broken"}')).toEqual([
      'state of gatherd_jobs_ended_total is never broken.',
    ])
    expect(() => readPromql('sum by (kind (gatherd_jobs_queued)')).toThrow('No PromQL')
  })

  it('is at zero from the start where an alert goes by its increase, for the first one counts', () => {
    const asked = rules.flatMap(({ expr }) => [...expr.matchAll(/increase\(([^[]+)\[/g)].map(([, one = '']) => one))
    const missing = asked.filter((one) => {
      const [{ metric, matchers } = { metric: '', matchers: [] }] = readPromql(one).selectors
      const isMeant = ({ name, labels }: Sample) =>
        name === metric && matchers.every((matcher) => matches(labels[matcher.label] ?? '', matcher))
      return !fresh.samples.some((sample) => isMeant(sample) && sample.value === 0)
    })

    expect(asked.length).toBeGreaterThanOrEqual(4)
    expect(missing).toEqual([])
  })

  it('is no fault already at the first scrape after a start: what lasts is waited for with `for`', () => {
    const hasty = rules.filter(({ expr, for: pause }) => pause === undefined && !expr.startsWith('increase('))

    expect(hasty.map(({ alert }) => alert)).toEqual([])
    expect(rules.filter(({ expr }) => expr.includes('min_over_time')).map(({ alert }) => alert)).toEqual([])
  })

  it('are rates of what counts up, and of nothing else', () => {
    const wrong = expressions.flatMap(([name, expr]) =>
      [...filled(expr).matchAll(/\b(rate|increase)\((\w+)/g)]
        .map(([, , metric = '']) => metric)
        .filter((metric) => !/_(?:total|bucket|sum|count)$/.test(metric))
        .map((metric) => `${name}: ${metric}`),
    )

    expect(wrong).toEqual([])
  })
})

describe('the metrics of a service', () => {
  const shown = (name: string) => all.types.get(name)

  it('are all in the catalog, with their types and what they are', () => {
    const ours = [...all.types].filter(([name]) => name.startsWith('gatherd_'))

    expect(ours.filter(([name]) => !(name in CATALOG))).toEqual([])
    const wrong = Object.entries<Declaration>(CATALOG).filter(
      ([name, { type }]) => ![undefined, type].includes(shown(name) as never),
    )
    expect(wrong.map(([name]) => name)).toEqual([])
  })

  it('are all there: none is declared that nobody counts', () => {
    expect(Object.keys(CATALOG).filter((name) => shown(name) === undefined)).toEqual([])
  })
})

describe('docs/metrics.md', () => {
  const page = read('docs/metrics.md')
  const rows = new Map(
    [...page.matchAll(/^\| `(gatherd_\w+)` *\| ([^|]+?) *\| ([^|]+?) *\|/gm)].map(
      ([, name = '', type = '', labels = '']) => [
        name,
        { type, labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label) },
      ],
    ),
  )

  it.each(Object.entries<Declaration>(CATALOG))('has %s with its type, unit and labels', (name, { type, labels }) => {
    const row = rows.get(name)

    expect(row?.type.split(',')[0]).toBe(type)
    expect(row?.labels).toEqual(labels)
    const unit = /_(seconds|bytes|rows)$/.exec(name)?.[1]
    if (unit !== undefined) expect(row?.type).toBe(`${type}, ${unit}`)
  })

  it('has none that there is not', () => {
    expect([...rows.keys()].filter((name) => !(name in CATALOG))).toEqual([])
  })

  it('has a heading for each alert, and each alert leads to its own', () => {
    const headings = [...page.matchAll(/^### (\w+)$/gm)].map(([, heading]) => heading)

    expect(headings).toEqual(rules.map(({ alert }) => alert))
    expect(rules.map(({ annotations }) => annotations.runbook)).toEqual(
      rules.map(({ alert }) => `docs/metrics.md#${alert.toLowerCase()}`),
    )
  })
})

describe('deploy/prometheus', () => {
  it('has alerts that say how bad it is, and what', () => {
    for (const { labels, annotations } of rules) {
      expect(['critical', 'warning', 'info']).toContain(labels.severity)
      expect(annotations.summary).toMatch(/\w+/)
    }
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length)
  })

  it('names in summaries only labels that the alert has', () => {
    for (const { expr, annotations } of rules) {
      const named = [...(annotations.summary ?? '').matchAll(/\$labels\.(\w+)/g)].map(([, label = '']) => label)
      const { selectors, groupedBy } = readPromql(expr)
      const own = all.samples.find(({ name }) => name === selectors[0]?.metric)?.labels ?? {}
      const kept = /^\s*(?:sum|histogram_quantile)/.test(expr)
        ? groupedBy
        : [...Object.keys(own), 'instance', ...groupedBy]

      expect(named.filter((label) => !kept.includes(label))).toEqual([])
    }
  })

  it('scrapes the pods at the port that they have for it', () => {
    const { scrape_configs: jobs } = parse(read('deploy/prometheus/kubernetes.yaml'))
    const [{ regex }] = jobs[0].relabel_configs
    const [{ ports }] = manifest('Deployment').spec.template.spec.containers
    const port = ports.find(({ name }: { name: string }) => name === regex.split(';')[1])?.containerPort

    expect(String(port)).toBe(manifest('ConfigMap').data.GATHERD_METRICS_PORT)
    const from = manifest('NetworkPolicy').spec.ingress.find(
      (rule: { ports: { port: number }[] }) => rule.ports[0]?.port === port,
    )
    expect(from.from[0].podSelector.matchLabels).toEqual({ 'app.kubernetes.io/name': 'prometheus' })
  })

  it('has the rules and the port that the page speaks of', () => {
    const config = parse(read('deploy/prometheus/prometheus.yaml'))

    expect(config.rule_files).toEqual(['/etc/prometheus/rules/gatherd.rules.yaml'])
    expect(config.scrape_configs[0].static_configs[0].targets).toEqual(['127.0.0.1:9464'])
    // The alert that a target is down names the job.
    const others = ['kubernetes', 'compose'].map((name) => parse(read(`deploy/prometheus/${name}.yaml`)))
    expect([config, ...others].flatMap(jobsOf)).toEqual(['gatherd', 'gatherd', 'gatherd'])
  })

  it('offers the metric that the autoscaler asks for', () => {
    const pods = manifest('HorizontalPodAutoscaler').spec.metrics.find(({ type }: { type: string }) => type === 'Pods')

    expect(pods.pods.metric.name).toBe(adapter.name.as)
  })

  it('counts for the autoscaler what more slots help, and no queue', () => {
    const asked = readPromql(filled(adapter.metricsQuery)).selectors.map(({ metric }) => metric)

    expect(asked).toEqual(['gatherd_slots_used', 'gatherd_jobs_short_of_slots'])
  })
})

function jobsOf(config: { scrape_configs: { job_name: string }[] }): string[] {
  return config.scrape_configs.map(({ job_name }) => job_name)
}

describe('deploy/grafana', () => {
  it('shows every metric that there is', () => {
    const asked = new Set(
      panels.flatMap(({ targets = [] }) =>
        targets.flatMap(({ expr }) => readPromql(filled(expr)).selectors.map(({ metric }) => metric)),
      ),
    )
    const isShown = (name: string) => ['', '_bucket', '_sum', '_count'].some((end) => asked.has(name + end))

    expect(Object.keys(CATALOG).filter((name) => !isShown(name))).toEqual([])
  })

  it('has panels that lie beside each other, each with an id of its own', () => {
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    )

    expect(new Set(cells).size).toBe(cells.length)
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length)
    expect(Math.max(...dashboard.panels.map(({ gridPos: { x, w } }) => x + w))).toBe(24)
  })

  it('names in legends only labels that the expression leaves', () => {
    const wrong = panels.flatMap(({ title, targets = [] }) =>
      targets.flatMap(({ expr, legendFormat }) => {
        const { groupedBy } = readPromql(filled(expr))
        const named = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label)
        const left = /\b(?:sum|count)\b/.test(expr) ? groupedBy : ['instance']
        return named.filter((label) => !left.includes(label)).map((label) => `${title}: ${label}`)
      }),
    )

    expect(wrong).toEqual([])
  })
})
