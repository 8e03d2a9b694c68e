/** One sample of a scrape. */
export interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

/** A scrape, read. */
export interface Scrape {
  samples: Sample[]
  /** By the name of the metric, as declared. */
  types: Map<string, string>
  helps: Map<string, string>
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/

/** Read the text format of Prometheus, which OpenMetrics' is close to. @throws for a line that is neither. */
export function parseScrape(text: string): Scrape {
  const scrape: Scrape = { samples: [], types: new Map(), helps: new Map() }
  for (const line of text.split('\n')) {
    const [, what, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
    if (what === 'TYPE') scrape.types.set(name, rest)
    else if (what === 'HELP') scrape.helps.set(name, rest)
    else if (line !== '' && line !== '# EOF') scrape.samples.push(sampleOf(line))
  }
  return scrape
}

function sampleOf(line: string): Sample {
  const [, name, labels = '', value] = SAMPLE.exec(line) ?? []
  if (name === undefined) throw new Error(`No line of a scrape: ${line}`)
  const pairs = [...labels.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?/g)]
  if (pairs.map(([pair]) => pair).join('') !== labels) throw new Error(`No labels: ${labels}`)
  return { name, labels: Object.fromEntries(pairs.map(([, key, text]) => [key, text])), value: numberOf(value) }
}

function numberOf(text = ''): number {
  const number = text === '+Inf' ? Number.POSITIVE_INFINITY : text === 'Nan' ? Number.NaN : Number(text)
  if (Number.isNaN(number) && text !== 'Nan') throw new Error(`No number: ${text}`)
  return number
}

/** The value of the one series of a name with these labels, whatever others it has; undefined: there is none. @throws when there are several. */
export function seriesOf({ samples }: Scrape, name: string, labels: Record<string, string> = {}): number | undefined {
  const found = samples.filter(
    (sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  )
  if (found.length > 1) throw new Error(`${found.length} series ${name} have these labels.`)
  return found[0]?.value
}

/** The sum over all series of a name. */
export function sumOf({ samples }: Scrape, name: string): number {
  return samples.filter((sample) => sample.name === name).reduce((sum, { value }) => sum + value, 0)
}
