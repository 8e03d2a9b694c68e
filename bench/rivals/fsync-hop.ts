// What one hop costs on this machine: a request over HTTP to a process whose thread writes three pages and fsyncs them, and back. The least that
// anything durable takes. argv: count. Prints p50 and p99 in milliseconds. With `server` it is that process.
import { fork } from 'node:child_process'
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { Agent } from 'undici'
import { quantile } from '../figures.ts'

const PAGES = Buffer.alloc(3 * 4_096)
const WARM = 20

/** The thread: writes and fsyncs once for each message. */
function write(path: string): void {
  const file = openSync(path, 'w')
  parentPort?.on('message', () => {
    writeSync(file, PAGES)
    fdatasyncSync(file)
    parentPort?.postMessage(null)
  })
  parentPort?.on('close', () => closeSync(file))
}

function serve(): void {
  const dir = mkdtempSync(join(tmpdir(), 'gatherd-hop-'))
  const thread = new Worker(new URL(import.meta.url), { workerData: join(dir, 'written') })
  const waiting: ServerResponse[] = []
  thread.on('message', () => waiting.shift()?.end('ok'))
  const server = createServer((_request, response) => {
    waiting.push(response)
    thread.postMessage(null)
  })
  // A TCP server has such an address.
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
  process.once('disconnect', () => {
    rmSync(dir, { recursive: true })
    process.exit()
  })
}

async function measure(count: number): Promise<void> {
  const child = fork(new URL(import.meta.url), ['server'])
  const port = await new Promise<unknown>((resolve) => child.once('message', resolve))
  const agent = new Agent({ connections: 1 })
  const took: number[] = []
  for (let i = -WARM; i < count; i++) {
    const began = performance.now()
    const { body } = await agent.request({ origin: `http://127.0.0.1:${port}`, path: '/', method: 'GET' })
    await body.text()
    if (i >= 0) took.push(performance.now() - began)
  }
  console.log(JSON.stringify([0.5, 0.99].map((q) => quantile(took, q))))
  child.disconnect()
  await agent.close()
}

const [asked = ''] = process.argv.slice(2)
if (!isMainThread) write(workerData)
else if (asked === 'server') serve()
else await measure(Number(asked))
