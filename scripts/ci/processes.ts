import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** A TCP port of the loopback interface that nothing listened on a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('not a TCP server')
  return address.port
}

/** Resolves when `url` answers 2xx. @throws {Error} When the process ends first, or `timeoutMs` is over. */
export async function untilAnswers(url: string, child: ChildProcess, timeoutMs: number): Promise<void> {
  for (const deadline = performance.now() + timeoutMs; performance.now() < deadline; await sleep(100)) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`the service ended (${child.signalCode ?? `exit ${child.exitCode}`}) before ${url} answered`)
    }
    const answered = await fetch(url).then(
      (response) => response.ok,
      () => false, // not listening yet
    )
    if (answered) return
  }
  throw new Error(`${url} did not answer within ${timeoutMs} ms`)
}

/** Signal a process and wait for its end: its exit status, or the name of the signal that ended it; `SIGKILL` after `timeoutMs`. */
export async function stop(child: ChildProcess, timeoutMs: number): Promise<number | string> {
  if (child.exitCode === null && child.signalCode === null) {
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    const killer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
    await ended
    clearTimeout(killer)
  }
  return child.exitCode ?? child.signalCode ?? 'unknown'
}
