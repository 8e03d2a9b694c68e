import { parser } from '@prometheus-io/lezer-promql'

/** The series that an expression asks for: the name of a metric, and each label that it matches with what. */
export interface Selector {
  metric: string
  matchers: { label: string; op: string; value: string }[]
}

/** What an expression in PromQL speaks of. */
export interface Expression {
  selectors: Selector[]
  /** Labels that it groups by, or joins on. */
  groupedBy: string[]
}

/** Read an expression. @throws where it is none, with the place. */
export function readPromql(text: string): Expression {
  const found: Expression = { selectors: [], groupedBy: [] }
  parser.parse(text).iterate({
    enter({ name, from, to, node, type }) {
      const own = text.slice(from, to)
      if (type.isError) throw new Error(`No PromQL at ${from}: ${text.slice(0, from)} >>> ${text.slice(from)}`)
      if (name === 'VectorSelector') found.selectors.push({ metric: '', matchers: [] })
      const selector = found.selectors.at(-1)
      if (name === 'Identifier' && selector !== undefined) selector.metric = own
      if (name === 'UnquotedLabelMatcher' && selector !== undefined) selector.matchers.push(matcherOf(own))
      if (name === 'LabelName' && node.parent?.name === 'GroupingLabels') found.groupedBy.push(own)
    },
  })
  if (found.selectors.length === 0) throw new Error(`No series in ${text}`)
  return found
}

function matcherOf(text: string): Selector['matchers'][number] {
  const [, label = '', op = '', value = ''] = /^(\w+)\s*(=~|!~|!=|=)\s*"(.*)"$/s.exec(text) ?? []
  return { label, op, value }
}

/** Whether a label's value is one that the matcher lets through. */
export function matches(value: string, { op, value: wanted }: Selector['matchers'][number]): boolean {
  const is = op.endsWith('~') ? new RegExp(`^(?:${wanted})$`).test(value) : value === wanted
  return op.startsWith('!') ? !is : is
}
