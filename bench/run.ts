// npm run bench: the measures of docs/performance.md; --only P1,P7 for some of them. P1, P2 and guard need nginx, cluster also redis-server.
import { parseArgs } from 'node:util'
import { acceptance } from './accept.ts'
import { cluster, QUICK, WHOLE } from './cluster.ts'
import { guarding } from './guard.ts'
import { neighbour } from './neighbour.ts'
import { recovery } from './recovery.ts'
import { throughput } from './throughput.ts'

const MEASURES = ['P1', 'P2', 'P5', 'P7', 'P10', 'guard', 'cluster']

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: MEASURES.join() },
    rounds: { type: 'string' },
    // Of P5: sleeps, drips, bodies, streams, submissions. Of cluster: throughput, memory, latency, cancel.
    cases: { type: 'string', default: '' },
    count: { type: 'string', default: '30000' },
    // Of cluster: one round, and less of everything.
    quick: { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds ?? 3)
const cases = values.cases.split(',').filter(Boolean)
const wanted = new Set(values.only.split(','))
for (const name of wanted) if (!MEASURES.includes(name)) throw new Error(`There is no ${name}, only ${MEASURES}.`)

if (wanted.has('P1') || wanted.has('P2')) await throughput(wanted, rounds, Number(values.count))
if (wanted.has('P5')) await neighbour(rounds, cases)
if (wanted.has('guard')) await guarding(rounds, Number(values.count))
if (wanted.has('P7')) await acceptance(rounds)
if (wanted.has('P10')) await recovery(rounds)
if (wanted.has('cluster')) {
  const size = values.quick ? QUICK : WHOLE
  await cluster({ ...size, rounds: Number(values.rounds ?? size.rounds), parts: cases })
}
