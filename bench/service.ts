import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { request } from 'undici'
import { freePort } from './nginx.ts'

/** A service in a process of its own, with a store on disk. */
export interface BenchService extends AsyncDisposable {
  url: string
  key: string
  process: ChildProcess
}

/** Start `gatherd serve` on a free port with a scratch store; `env` on top of the defaults. */
export async function startService(env: Record<string, string> = {}): Promise<BenchService> {
  const folder = await mkdtemp(join(tmpdir(), 'gatherd-bench-'))
  const port = String(await freePort())
  const args = [
    ...(process.env.BENCH_NODE_ARGS?.split(' ') ?? []),
    new URL('../src/main.ts', import.meta.url).pathname,
    'serve',
  ]
  const settings = { GATHERD_DATA_DIR: folder, GATHERD_PORT: port, GATHERD_LOG_LEVEL: 'warn', ...env }
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...settings },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const key = await firstKey(child)
  return { url: `http://127.0.0.1:${port}`, key, process: child, [Symbol.asyncDispose]: () => stop(child, folder) }
}

function firstKey(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout?.on('data', (chunk) => {
      text += chunk
      const key = /gth_\S+/.exec(text)?.[0]
      if (key !== undefined) resolve(key)
    })
    child.once('exit', (status) => reject(new Error(`the service ended with ${status}: ${text}`)))
  })
}

async function stop(child: ChildProcess, folder: string): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await ended
  await rm(folder, { recursive: true, force: true })
}

/** Call the service; JSON in, JSON out. @throws when the answer is not 2xx. */
export async function call(
  service: BenchService,
  method: 'GET' | 'POST',
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

/** Read a batch's completion stream to its last line; resolves with the number of lines. */
export async function drained(service: BenchService, batchId: string): Promise<number> {
  const answer = await request(`${service.url}/v1/batches/${batchId}/events?only=completions`, {
    headers: { authorization: `Bearer ${service.key}`, accept: 'application/x-ndjson' },
  })
  let lines = 0
  for await (const chunk of answer.body) for (const byte of chunk) if (byte === 10) lines++
  return lines
}
