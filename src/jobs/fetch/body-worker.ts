// The entry of the thread for large bodies: `keep` behind a message port.
import { parentPort } from 'node:worker_threads'
import { bufferOf, RawJson } from '../../json/raw.ts'
import type { KeptOnThread, LargeBody } from './body-thread.ts'
import { keep } from './keep.ts'

if (parentPort === null) throw new Error('body-worker.ts is the entry of a worker thread.')
const port = parentPort

port.on('message', ({ bytes, asJson }: LargeBody) => {
  const { kept, failure } = keep(bufferOf(bytes), asJson)
  const body = kept.body instanceof RawJson ? kept.body.json : kept.body
  port.postMessage({ kept: { ...kept, body }, failure } satisfies KeptOnThread)
})
