import type { Readable, Writable } from 'node:stream'

/** The outside of the program, so that commands can be run and watched by a test. */
export interface Io {
  /** The arguments after the command's name. */
  args: string[]
  env: Readonly<Record<string, string | undefined>>
  stdin: Readable
  stdout: Writable & { isTTY?: boolean }
  stderr: Writable & { isTTY?: boolean; columns?: number }
  /** Calls `listener` at each SIGTERM or SIGINT until the returned function is called. */
  onSignal(listener: (signal: 'SIGTERM' | 'SIGINT') => void): () => void
  /** What the container of the process may have in memory, in bytes; without a limit 0 or more than there is. Absent: nobody knows. */
  memoryLimitBytes?: number
  /** End the process now, without waiting for anything. */
  exit(status: number): never
}

/** A command: resolves with the exit status. @throws a `ServiceError` whose message is shown as it is. */
export type Command = (io: Io) => Promise<number>

/** The version in package.json. */
export { default as packageJson } from '../../package.json' with { type: 'json' }
