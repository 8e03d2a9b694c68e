import { parentPort, workerData } from 'node:worker_threads'
import { type CopyTask, copyDatabase } from './copy.ts'
import { answerOf } from './thread.ts'

// Started by thread.ts, with a task.
parentPort?.postMessage(answerOf(() => copyDatabase(workerData as CopyTask)))
