import { readConfig } from '../config.ts'
import { ConfigError } from '../errors.ts'
import { backUp, type Copied } from '../store/sqlite/backup.ts'
import { IN_MEMORY } from '../store/sqlite/open.ts'
import { count, summary, textReport } from './check/report.ts'
import type { Command, Io } from './io.ts'
import { parsed } from './options.ts'

const HELP = `gatherd backup: copy the store of GATHERD_DATA_DIR into one file, whether a service runs on it or not.

  gatherd backup <file> [--force] [--no-check]

The copy is of one moment, and has what that moment's callers had been told. It holds what tenants sent: only its owner can
read it, and it should stay so. To restore it, put it into an empty data directory under the name gatherd.db, with the
gatherd.key of the old one beside it, if that had one: secret headers are encrypted with it, and the copy does not have it.
With GATHERD_REDIS_URL the store is in Redis, and backups are Redis's: docs/operations.md.

  --force                   replace the file, if there is one
  --no-check                do not run "gatherd check" on the copy before it gets its name
  --help

Exit status: 0 it is on disk; 1 the check found problems in the copy, which is not kept; 2 it cannot be made, the reason
is on standard error; 130, 143 ended by SIGINT, SIGTERM. Whatever happens, the file is whole or not there.
`

const OPTIONS = {
  force: { type: 'boolean', default: false },
  'no-check': { type: 'boolean', default: false },
} as const

/** Copy the store into a file; resolves with 1 when the copy does not pass the check. */
export const backup: Command = async (io) => {
  const given = parsed(io, HELP, OPTIONS)
  if (given === null) return 0
  const { values, positionals } = given
  const [file] = positionals
  if (file === undefined || positionals.length > 1)
    throw new ConfigError(`Name one file to write the backup to.\n\n${HELP}`)
  const { dataDir, redisUrl } = readConfig(io.env)
  if (redisUrl !== undefined)
    throw new ConfigError(
      'gatherd backup copies the store of one process, and GATHERD_REDIS_URL is set: this store is in Redis. Back up its append-only ' +
        'file or a snapshot (BGSAVE); docs/operations.md says how.',
    )
  if (dataDir === IN_MEMORY)
    throw new ConfigError(`GATHERD_DATA_DIR is ${IN_MEMORY}: such a store is in no file, there is nothing to back up.`)
  const interruption = interruptible(io)
  try {
    const { signal } = interruption
    const copied = await backUp({ dataDir, file, force: values.force, check: !values['no-check'], signal })
    return report(io, file, copied)
  } catch (error) {
    if (!interruption.signal.aborted) throw error
    io.stderr.write('gatherd: interrupted, there is no backup.\n')
    return io.exit(interruption.status())
  } finally {
    interruption.release()
  }
}

/** A signal that SIGINT or SIGTERM aborts, and the exit status that says so. */
function interruptible(io: Io) {
  const controller = new AbortController()
  let status = 130
  const release = io.onSignal((name) => {
    status = name === 'SIGINT' ? 130 : 143
    controller.abort()
  })
  return { signal: controller.signal, status: () => status, release }
}

function report({ stdout, stderr }: Io, file: string, { bytes, batches, check }: Copied): number {
  if (check !== null && check.found > 0) {
    for (const line of textReport(check)) stdout.write(`${line}\n`)
    stderr.write('gatherd: the copy has the problems above and is not kept; --no-check keeps one all the same.\n')
    return 1
  }
  const checked = check === null ? 'not checked' : summary(check)
  stdout.write(`${file}: ${size(bytes)}, ${count(batches, 'batch', 'batches')}; ${checked}\n`)
  return 0
}

/** Bytes in kB or MB, as file sizes are shown. */
function size(bytes: number): string {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`
}
