import type { Frame } from './profile.ts'

/** What is neither of the stages below. */
export const REST = 'HTTP, reading, the rest'

/** The stages of a job, each with the files and functions whose time is its own; the first that fits counts. */
const STAGES: readonly (readonly [stage: string, own: RegExp])[] = [
  ['garbage collection', /^\(garbage collector\)$/],
  // What is neither JavaScript nor waiting is mostly reading from sockets.
  [
    "sockets: the write, the read, Node's streams",
    /^(\(program\)|write\w+String)$|^node:(net|events|buffer|internal\/(stream|buffer))/,
  ],
  [
    'commit: the journal, the copy to the thread of the store',
    /^postMessage$|engine\/local\/(journal|pace)\.|src\/store\/|^node:internal\/worker/,
  ],
  ['microtasks and ticks', /^runMicrotasks$|^node:(internal\/process\/task_queues|async_hooks|internal\/async)/],
  ["undici's client and parser", /\/undici\/|^wasm/],
  ['egress: finding the idle connection, giving it back', /src\/egress\/(?!guard|url)/],
  ['its spec as text', /engine\/local\/(sealer|specs)\.|src\/secrets\//],
  [
    'submission: JSON, hygiene, schema, guard',
    /src\/(schema|json|egress)\/|src\/http\/body|engine\/local\/(intake|admission)\.|\/(secure-json-parse|zod)\//,
  ],
  ['whose turn it is, slots', /engine\/local\/(fair-queue|lane|heap|queues|slots|hosts)\.|\/p-queue\//],
  [
    'attempt: start, stop, timers, end',
    /engine\/local\/(attempts|context|timers|idle)\.|src\/(halt|clock|jobs\/attempt)\.|^node:internal\/(timers|perf)/,
  ],
  ['request, response, body and result of the fetch', /src\/jobs\/|^node:internal\/url/],
  ['the turns of the core, records, counts', /src\/(core|metrics)\/|engine\/local\/|src\/engine\//],
]

/** All stages, in the order in which they are told. */
export const STAGE_NAMES: readonly string[] = [...STAGES.map(([stage]) => stage), REST]

/** The stage that a stack is at. What is not written in JavaScript belongs to whoever called it, but for what is a stage of its own. */
export function stageOf(stack: readonly Frame[]): string {
  for (const { functionName, url } of stack) {
    const where = url === '' ? functionName : url
    const stage = STAGES.find(([, own]) => own.test(where))
    if (stage !== undefined) return stage[0]
    if (url !== '') return REST
  }
  return REST
}
