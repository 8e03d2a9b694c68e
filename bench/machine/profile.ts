import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** What of a `.cpuprofile` matters here: https://chromedevtools.github.io/devtools-protocol/v8/Profiler, microseconds. */
export interface CpuProfile {
  /** On the monotonic clock, as `process.hrtime`. */
  startTime: number
  nodes: { id: number; callFrame: Frame; children?: number[] }[]
  samples: number[]
  timeDeltas: number[]
}

/** A function; what is not written in JavaScript has no `url`, and states have a name in parentheses. */
export interface Frame {
  functionName: string
  url: string
}

/** The profile that `--cpu-prof` has written of the main thread of a process that has ended. */
export function profileOf(dir: string, pid: number | undefined): CpuProfile {
  const name = readdirSync(dir).find((file) => file.includes(`.${pid}.0.`))
  if (name === undefined) throw new Error(`there is no profile of process ${pid} in ${dir}`)
  // Written by V8.
  return JSON.parse(readFileSync(join(dir, name), 'utf8')) as CpuProfile
}

/** Microseconds that a thread was busy between two moments (of the monotonic clock, microseconds), by what `nameOf` says of a stack, the innermost function first. */
export function busyBetween(
  profile: CpuProfile,
  from: number,
  to: number,
  nameOf: (stack: readonly Frame[]) => string,
): Map<string, number> {
  const stacks = stacksOf(profile)
  const busy = new Map<string, number>()
  let now = profile.startTime
  profile.samples.forEach((id, i) => {
    const took = profile.timeDeltas[i] ?? 0
    now += took
    const stack = stacks.get(id) ?? []
    if (now < from || now > to || stack[0]?.functionName === '(idle)') return
    const name = nameOf(stack)
    busy.set(name, (busy.get(name) ?? 0) + took)
  })
  return busy
}

function stacksOf({ nodes }: CpuProfile): Map<number, Frame[]> {
  const stacks = new Map<number, Frame[]>()
  // A node comes before its children.
  for (const { id, callFrame, children = [] } of nodes) {
    const stack = [callFrame, ...(stacks.get(id) ?? [])]
    stacks.set(id, stack)
    for (const child of children) stacks.set(child, stack)
  }
  return stacks
}
