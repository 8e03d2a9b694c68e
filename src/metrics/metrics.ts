import { CATALOG, type Declaration, type MetricName } from './catalog.ts'
import { Buckets } from './tally.ts'

/** One series at one moment. */
export type Reading = readonly [name: MetricName, labels: Readonly<Record<string, string>>, value: number | Buckets]

/** Reads what it measures: called at each scrape, on the event loop, so it must be quick. */
export type Source = () => Iterable<Reading>

/** The text formats that a scrape can have, the default first. */
export const FORMATS = ['text/plain', 'application/openmetrics-text'] as const
export type Format = (typeof FORMATS)[number]

/** The `Content-Type` of each format. */
export const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  'text/plain': 'text/plain; version=0.0.4; charset=utf-8',
  'application/openmetrics-text': 'application/openmetrics-text; version=1.0.0; charset=utf-8',
}

/**
 * What the service measures. Nothing happens here but at a scrape: each part counts in plain numbers of its own, and its source reads
 * them then.
 */
export class Metrics {
  readonly #sources: Source[] = []

  add(source: Source): void {
    this.#sources.push(source)
  }

  /** All series now, of all sources, in the order of the catalog; metrics of which there is none are left out. */
  read(): Map<MetricName, Reading[]> {
    const byName = Map.groupBy(
      this.#sources.flatMap((source) => [...source()]),
      ([name]) => name,
    )
    const names = Object.keys(CATALOG) as MetricName[] // Its keys are its names.
    return new Map(names.flatMap((name) => (byName.has(name) ? [[name, byName.get(name) ?? []] as const] : [])))
  }

  /** The answer to a scrape: ours, then those of the process. prom-client is loaded by the first. */
  async text(format: Format): Promise<string> {
    const { Registry, register, collectDefaultMetrics } = (await import('prom-client')).default
    // Of a process there is one, and prom-client's own registry is it.
    if (register.getMetricsAsArray().length === 0) collectDefaultMetrics({ eventLoopMonitoringPrecision: 20 })
    const registry = new Registry()
    // Of a metric the registry asks its name and what `get` resolves with, nothing else.
    for (const [name, readings] of this.read()) registry.registerMetric(series(name, CATALOG[name], readings) as never)
    const text = `${await registry.metrics()}\n${await register.metrics()}`
    return format === 'text/plain' ? text : openMetrics(text)
  }
}

interface Value {
  metricName?: string
  labels: Record<string, string | number>
  value: number
}

function series(name: string, { type, help }: Declaration, readings: readonly Reading[]) {
  const values = readings.flatMap(([, labels, value]) => valuesOf(name, labels, value))
  return { name, get: async () => ({ name, help, type, values }) }
}

function valuesOf(name: string, labels: Readonly<Record<string, string>>, value: number | Buckets): Value[] {
  if (!(value instanceof Buckets)) return [{ labels: { ...labels }, value }]
  const bucket = (le: string | number, count: number) => ({
    metricName: `${name}_bucket`,
    labels: { ...labels, le },
    value: count,
  })
  const { bounds, cumulative, count, sum } = value
  return [
    ...bounds.map((bound, at) => bucket(bound, cumulative[at])),
    bucket('+Inf', count),
    { metricName: `${name}_sum`, labels: { ...labels }, value: sum },
    { metricName: `${name}_count`, labels: { ...labels }, value: count },
  ]
}

/**
 * Prometheus' text as OpenMetrics: there a counter is named without `_total` where it is declared, no line is empty, and the last is
 * `# EOF`. prom-client can write it as well, but then has the counters renamed for whoever asks next.
 */
function openMetrics(text: string): string {
  const lines = text.split('\n').filter((line) => line !== '')
  const counters = new Set(lines.flatMap((line) => /^# TYPE (\S+)_total counter$/.exec(line)?.[1] ?? []))
  const declared = lines.map((line) =>
    line.replace(/^(# (?:HELP|TYPE) )(\S+)_total(?= )/, (whole, start: string, name: string) =>
      counters.has(name) ? start + name : whole,
    ),
  )
  return `${declared.join('\n')}\n# EOF\n`
}
