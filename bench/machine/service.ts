import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { request } from 'undici'

/** A service in a process of its own, with a store on disk. */
export interface BenchService extends AsyncDisposable {
  url: string
  key: string
  process: ChildProcess
  /** Where its store is. */
  dataDir: string
  /** When the process was spawned, in milliseconds since the epoch, as all stamps of the benchmarks. */
  spawnedAt: number
  /** When its greeting was read. */
  listeningAt: number
  /** What it printed until then: its log, a line each, and the greeting. */
  printed: string
}

/** What a service starts on. */
export interface Start {
  /** For its Node, before the program. */
  nodeArgs?: string[]
  /** Settings on top of the defaults. */
  env?: Record<string, string>
  /** Let it be asked what it sees of itself: see `ask`. */
  inside?: boolean
  /** A data directory that outlives the service, and its key if there is one. Default: a scratch one. */
  kept?: { dataDir: string; key?: string }
}

/** A data directory of its own, empty. Whoever asks removes it. */
export function newDataDir(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'gatherd-bench-'))
}

/** Start `gatherd serve` on a free port; resolves when it listens. */
export async function startService({
  env = {},
  nodeArgs = [],
  inside = false,
  kept,
}: Start = {}): Promise<BenchService> {
  const dataDir = kept?.dataDir ?? (await newDataDir())
  // Another checkout's, to compare with.
  const main = process.env.BENCH_MAIN ?? new URL('../../src/main.ts', import.meta.url).pathname
  const seeing = inside ? ['--import', new URL('./inside.ts', import.meta.url).href] : []
  const args = [...(process.env.BENCH_NODE_ARGS?.split(' ') ?? []), ...seeing, ...nodeArgs, main, 'serve']
  const settings = {
    GATHERD_DATA_DIR: dataDir,
    GATHERD_PORT: '0',
    GATHERD_LOG_LEVEL: 'warn',
    GATHERD_EGRESS_ALLOW: '127.0.0.1',
    // Late or not, it is to be measured: a busy machine is no reason to refuse.
    GATHERD_MAX_EVENT_LOOP_DELAY_MS: '0',
    ...env,
  }
  const spawnedAt = Date.now()
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...settings },
    stdio: ['ignore', 'pipe', 'pipe', ...(inside ? (['ipc'] as const) : [])],
  })
  const { url, key, printed } = await greeted(child, kept?.key)
  const listeningAt = Date.now()
  const end = async () => {
    await ended(child, 'SIGTERM')
    if (kept === undefined) await rm(dataDir, { recursive: true, force: true })
  }
  return { url, key, dataDir, process: child, spawnedAt, listeningAt, printed, [Symbol.asyncDispose]: end }
}

/** Resolves with what the greeting says, once it does. */
function greeted(child: ChildProcess, known?: string): Promise<{ url: string; key: string; printed: string }> {
  return new Promise((resolve, reject) => {
    let [printed, isGreeted] = ['', false]
    const read = (chunk: Buffer) => {
      printed += chunk
      const url = /^gatherd \S+ on (http:[^\s,]+),/m.exec(printed)?.[1]
      const key = known ?? /gth_\S+/.exec(printed)?.[0]
      if (isGreeted || url === undefined || key === undefined) return
      isGreeted = true
      // What it logged before the greeting, which is on standard error, is read then as well.
      setImmediate(() => resolve({ url, key, printed }))
    }
    child.stdout?.on('data', read)
    child.stderr?.on('data', (chunk) => (isGreeted ? process.stderr.write(chunk) : read(chunk)))
    child.once('exit', (status) => reject(new Error(`the service ended with ${status}: ${printed}`)))
  })
}

/** End a process and wait for its end. */
export async function ended(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = new Promise((resolve) => child.once('exit', resolve))
  child.kill(signal)
  await exit
}

/** Call the service; JSON in, JSON out. @throws when the answer is not 2xx. */
export async function call(
  service: Pick<BenchService, 'url' | 'key'>,
  method: 'GET' | 'POST' | 'PUT' | 'PATCH',
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<unknown> {
  const answer = await request(service.url + path, {
    method,
    headers: {
      authorization: `Bearer ${service.key}`,
      ...headers,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  })
  const text = await answer.body.text()
  if (answer.statusCode >= 300) throw new Error(`${answer.statusCode} ${text.slice(0, 500)}`)
  return JSON.parse(text)
}
