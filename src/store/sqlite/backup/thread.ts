import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { StoreUnusableError } from '../../../errors.ts'
import { threadOptions } from '../../../threads.ts'
import { sqliteError } from '../check/reading.ts'
import type { Copied, CopyTask } from './copy.ts'

/** What a thread answers. Errors cross threads as their words. */
export type Answer = { value: Copied } | { words: string } | { error: Error }

/** SQLite's codes that say in too few words what happened to the copy. */
const WORDS: Record<number, string> = {
  10: 'the disk refuses to be written or read (is it full?)',
  13: 'the disk is full',
}

/** The answer of a task, or why there is none. */
export function answerOf(copy: () => Copied): Answer {
  try {
    return { value: copy() }
  } catch (error) {
    if (error instanceof StoreUnusableError) return { words: error.message }
    const sqlite = sqliteError(error)
    if (sqlite !== null) return { words: `The copy failed: ${WORDS[sqlite.code] ?? sqlite.message}.` }
    return { error: error instanceof Error ? error : new Error(String(error)) }
  }
}

/**
 * Copy on a thread of its own: it takes as long as the disk does, and a signal must find someone at home. After an abort
 * SQLite goes on to the end of its statement; nobody waits for it.
 *
 * @throws {StoreUnusableError} why there is no copy; the signal's reason once it aborts.
 */
export async function copyOnThread(task: CopyTask, signal: AbortSignal): Promise<Copied> {
  signal.throwIfAborted()
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { ...threadOptions(), workerData: task })
  try {
    // The only message there is.
    const [answer] = (await once(worker, 'message', { signal })) as [Answer]
    return copiedOf(answer)
  } catch (error) {
    throw signal.aborted ? signal.reason : error
  } finally {
    void worker.terminate()
  }
}

function copiedOf(answer: Answer): Copied {
  if ('value' in answer) return answer.value
  throw 'words' in answer ? new StoreUnusableError(answer.words) : answer.error
}
