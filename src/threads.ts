import { getCompileCacheDir } from 'node:module'
import { dirname } from 'node:path'
import type { WorkerOptions } from 'node:worker_threads'

/** How every thread is started: it finds the compile cache in its environment alone, and needs nothing else of that. */
export function threadOptions(): WorkerOptions {
  const compiled = getCompileCacheDir()
  const env = compiled === undefined ? {} : { NODE_COMPILE_CACHE: dirname(compiled) }
  return { env, execArgv: ['--disable-warning=ExperimentalWarning'] }
}
