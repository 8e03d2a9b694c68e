import type { BenchRedis } from './redis.ts'

/** What a job does. */
export type Work = 'sleep' | 'fetch'

/** A job as gatherd takes it; BullMQ has it as its data. */
export type Job = { kind: 'sleep'; durationMs: 0 } | { kind: 'fetch'; url: string }

/** The size of a system. */
export interface Shape {
  /** Worker processes, or replicas. */
  processes: number
  tenants: number
  /** Jobs of a tenant that may run at once, wherever. */
  cap: number
}

/** Something that runs jobs of tenants, in processes of its own over a Redis of its own. */
export interface System extends AsyncDisposable {
  redis: BenchRedis
  /** Of its processes, without Redis and without this one, in milliseconds since they started. */
  cpuMs(): number
  /** Have so many jobs, an equal share of each tenant's, submitted and run; resolves when the last has ended. */
  run(job: Job, count: number): Promise<void>
  /** Start nothing until `resume`. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Nothing is left to do: be no burden to others. */
  rest(): Promise<void>
  /** Submit so many jobs of the first tenant at once; resolves when they are durable. */
  enqueue(job: Job, count: number): Promise<void>
  /** Resolves when nothing is left to run. */
  drained(): Promise<void>
}

/** What a job has cost. */
export interface Cost {
  jobsPerSecond: number
  /** Redis' CPU in microseconds a job. */
  redisUs: number
  /** The processes' CPU in microseconds a job. */
  processUs: number
  /** Bytes over Redis' sockets a job. */
  networkBytes: number
  /** Lua scripts that clients have had run, a job. */
  scripts: number
}

/** Run what a system is given, and see what it cost. */
export async function costOf(system: System, count: number, work: () => Promise<void>): Promise<Cost> {
  const [before, cpuBefore] = [await system.redis.usage(), system.cpuMs()]
  await system.redis.forgetCommands()
  const began = performance.now()
  await work()
  const ms = performance.now() - began
  const commands = await system.redis.commands()
  const [after, cpuAfter] = [await system.redis.usage(), system.cpuMs()]
  if (process.env.BENCH_COMMANDS !== undefined) tell(commands, count)
  return {
    jobsPerSecond: (count / ms) * 1_000,
    redisUs: ((after.cpuMs - before.cpuMs) / count) * 1_000,
    processUs: ((cpuAfter - cpuBefore) / count) * 1_000,
    // RESETSTAT has put it to 0.
    networkBytes: after.network / count,
    scripts: (commands.get('evalsha')?.calls ?? 0) / count,
  }
}

function tell(commands: Awaited<ReturnType<BenchRedis['commands']>>, count: number): void {
  const top = [...commands].sort(([, a], [, b]) => b.usec - a.usec).slice(0, 14)
  for (const [name, { calls, usec }] of top)
    console.error(
      `    ${name.padEnd(14)} ${(calls / count).toFixed(3)} a job, ${(usec / count).toFixed(2)} us a job, ${(usec / calls).toFixed(1)} us each`,
    )
}
