import { ratios, type Spread, shown, spreadOf, told } from '../figures.ts'
import { type Findings, seriesOf } from './book.ts'

/** Why a series of this name has no figures: what was seen is too little for a judgement. */
export const TOO_SHORT = 'too short to judge'

/** What a figure must be. */
export interface Target {
  /** The series that it is about. */
  series: string
  /** The series of whose figure, of the same round, it is a share. Default: it is a figure of its own. */
  per?: string
  /** It must not be more. */
  most?: number
  /** It must not be less. */
  least?: number
  /** Of no round, and of nothing that was looked at in one. Default: of the median, which is what targets are given for. */
  always?: boolean
}

/** How a target was met. */
export interface Verdict {
  target: string
  /** The figure or the ratio, by the rounds; NaN when it was not measured. */
  found: Spread
  /** `found`, to be read. */
  told: string
  verdict: 'met' | 'missed' | 'not measured' | 'not judged' | typeof TOO_SHORT
}

/** Judge by the median of the rounds, or, where once is too often, by the worst. */
export function judge(findings: Findings, target: Target): Verdict {
  const { figures, unit } = seriesOf(findings, target.series)
  const found = spreadOf(target.per === undefined ? figures : ratios(figures, seriesOf(findings, target.per).figures))
  const text = {
    target: textOf(target, unit),
    found,
    told: `${told(found)}${target.per === undefined ? ` ${unit}` : ' ×'}`,
  }
  if (Number.isNaN(found.median)) return { ...text, told: '–', verdict: unmeasured(findings, target) }
  const [high, low] = target.always ? [found.high, found.low] : [found.median, found.median]
  const met = high <= (target.most ?? Infinity) && low >= (target.least ?? -Infinity)
  return { ...text, verdict: met ? 'met' : 'missed' }
}

function unmeasured({ skipped }: Findings, { series }: Target): Verdict['verdict'] {
  return skipped.some(({ name, why }) => name === series && why === TOO_SHORT) ? TOO_SHORT : 'not measured'
}

/** Where the target lies in the unit of its series, to be drawn; NaN when what it is a share of was not measured. */
export function boundOf(findings: Findings, { per, most, least }: Target): number {
  const bound = most ?? least ?? Number.NaN
  return per === undefined ? bound : bound * spreadOf(seriesOf(findings, per).figures).median
}

function textOf({ series, per, most, least, always }: Target, unit: string): string {
  const sign = most === undefined ? '≥' : '≤'
  const bound = shown(most ?? least ?? Number.NaN)
  const text = per === undefined ? `${series} ${sign} ${bound} ${unit}`.trim() : `${series} ${sign} ${bound} × ${per}`
  return always ? `${text}, always` : text
}
