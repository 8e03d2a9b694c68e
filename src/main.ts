#!/usr/bin/env node
import { useCompileCache } from './cli/compile-cache.ts'
import type { Command, Io } from './cli/io.ts'
import { impatience } from './cli/signals.ts'
import { systemClock } from './clock.ts'
import { ServiceError } from './errors.ts'

/** Loaded when asked for: a service that starts again is not to wait for what it does not need. */
const LOADERS: Record<string, () => Promise<Command>> = {
  serve: async () => (await import('./cli/serve.ts')).serve,
  run: async () => (await import('./cli/run.ts')).run,
  keys: async () => (await import('./cli/keys.ts')).keys,
  check: async () => (await import('./cli/check.ts')).check,
  backup: async () => (await import('./cli/backup.ts')).backup,
  openapi: async () => (await import('./cli/openapi.ts')).openapi,
}

/** Without a prototype: `gatherd toString` is no command. */
const COMMANDS: typeof LOADERS = Object.assign(Object.create(null), LOADERS)

const HELP = `gatherd: asyncio's gather, as_completed and TaskGroup as an HTTP service.

  gatherd serve                       run the service
  gatherd run <batch.json | ->        run one batch here, without a server
  gatherd keys create|list|revoke     API keys of tenants
  gatherd check [<directory | file>]  verify a store or a backup
  gatherd backup <file>               copy the store, while the service runs
  gatherd openapi                     print the OpenAPI document
  gatherd <command> --help

`

async function main(): Promise<number> {
  const [name = '--help', ...args] = process.argv.slice(2)
  if (name === 'serve') return await serve(args)
  const command = await COMMANDS[name]?.()
  if (command !== undefined) return await command(io(args, onSignal))
  const asked = name === '--help' || name === '-h' || name === 'help'
  const out = asked ? process.stdout : process.stderr
  out.write(asked ? HELP : `gatherd: there is no command "${name}".\n\n${HELP}`)
  return asked ? 0 : 2
}

/** A signal counts from the first moment on; and what still runs when all is closed does not keep the process. */
async function serve(args: string[]): Promise<never> {
  const early: Signal[] = []
  const hurry = impatience(systemClock, () => process.exit(130))
  const stopNoting = onSignal((signal) => early.push(signal))
  // As long as there is a process, also before anything is loaded and after all is closed.
  onSignal(hurry)
  useCompileCache(process.env.GATHERD_DATA_DIR || './data', process.geteuid?.())
  const command = await LOADERS.serve()
  const status = await command(
    io(args, (listener) => {
      // In this order: without any listener, a signal that is on its way would be lost.
      const stopListening = onSignal(listener)
      stopNoting()
      for (const signal of early.splice(0)) listener(signal)
      return stopListening
    }),
  )
  process.exit(status)
}

type Signal = Parameters<Parameters<Io['onSignal']>[0]>[0]

function io(args: string[], onSignal: Io['onSignal']): Io {
  const { env, stdin, stdout, stderr } = process
  const memoryLimitBytes = process.constrainedMemory()
  return { args, env, stdin, stdout, stderr, onSignal, memoryLimitBytes, exit: (status) => process.exit(status) }
}

function onSignal(listener: (signal: 'SIGTERM' | 'SIGINT') => void): () => void {
  process.on('SIGTERM', listener)
  process.on('SIGINT', listener)
  return () => {
    process.off('SIGTERM', listener)
    process.off('SIGINT', listener)
  }
}

/** The exit status of a mistake of ours (EX_SOFTWARE). Not 1: that is what a check or a batch says of what it found. */
const MISTAKE = 70

/**
 * An error that nobody foresaw: its class, code and frames, as in the log. Node would print its message as well, and a
 * library's message can quote what a tenant has sent.
 */
async function die(thrown: unknown): Promise<never> {
  const { outline } = await import('./log.ts')
  process.stderr.write(`gatherd: a mistake of gatherd's: ${outline(thrown)}\n`)
  process.exit(MISTAKE)
}

process.on('uncaughtException', die)

try {
  process.exitCode = await main()
} catch (error) {
  // A mistake of whoever started it needs words, not a stack.
  if (!(error instanceof ServiceError)) await die(error)
  else process.stderr.write(`gatherd: ${error.message}\n`)
  process.exitCode = 2
}
