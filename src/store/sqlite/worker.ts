// The entry of a store thread: a SqliteService behind a message port. Everything worth testing is in service.ts.
import { flushCompileCache } from 'node:module'
import { parentPort } from 'node:worker_threads'
import { type Answer, type Call, SqliteService } from './service.ts'

if (parentPort === null) throw new Error('worker.ts is the entry of a worker thread.')
const port = parentPort

// The first message says what to open, all others are calls.
port.once('message', (options: ConstructorParameters<typeof SqliteService>[0]) => {
  try {
    const service = new SqliteService(options)
    port.on('message', (call: Call) => {
      port.postMessage(service.answer(call))
      if (call.method === 'close') port.close()
    })
    port.postMessage({ id: 0, value: null } satisfies Answer)
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error))
    port.postMessage({ id: 0, error: { name, message } } satisfies Answer)
    port.close()
  }
  // Now, for a process that is killed leaves none behind.
  flushCompileCache()
})
