import { statSync } from 'node:fs'
import { join } from 'node:path'
import { readConfig } from '../config.ts'
import { ConfigError } from '../errors.ts'
import { checkStore } from '../store/sqlite/check.ts'
import { DATABASE_FILE, IN_MEMORY } from '../store/sqlite/open.ts'
import { jsonReport, textReport } from './check/report.ts'
import type { Command, Io } from './io.ts'
import { parsed } from './options.ts'
import { Output } from './run/output.ts'

const HELP = `gatherd check: verify a store, whether a service runs on it or not. Changes nothing.

  gatherd check [<data directory> | <backup file>] [--json]

Without a name it is GATHERD_DATA_DIR; a store in Redis (GATHERD_REDIS_URL) is not for this command. Checks the pages of the database, and that the record is what the service
promises: every job ends once, the log has no gap and says what the records say, the counts are right, nothing belongs to
nobody. Each problem is a line on standard output, the first 100 of them; the last line sums up.

  --json                    print one JSON object instead
  --help

Exit status: 0 all is well; 1 there are problems; 2 it cannot be checked (missing, no database of gatherd, of another
version), the reason is on standard error.
`

/** Hold a store against its invariants; resolves with 1 when it breaks one. */
export const check: Command = async (io) => {
  const given = parsed(io, HELP, { json: { type: 'boolean', default: false } })
  if (given === null) return 0
  const [place, ...more] = given.positionals
  if (more.length > 0) throw new ConfigError(`gatherd check takes one directory or file, not "${more[0]}".\n\n${HELP}`)
  const file = databaseAt(place ?? ownPlace(io))
  const result = checkStore(file)
  using output = new Output({ stdout: io.stdout, screen: null, onBroken: async () => undefined })
  for (const line of given.values.json ? jsonReport(file, result) : textReport(result)) await output.write(line)
  return output.status ?? (result.found === 0 ? 0 : 1)
}

/** Where the settings say that the store is. @throws {ConfigError} for one that is in Redis. */
function ownPlace({ env }: Io): string {
  const { dataDir, redisUrl } = readConfig(env)
  if (redisUrl === undefined) return dataDir
  throw new ConfigError(
    'gatherd check verifies the store of one process, and GATHERD_REDIS_URL is set: this store is in Redis, which checks what it loads ' +
      'itself (redis-check-aof for the file). For a data directory or a backup all the same, name it.',
  )
}

/** The database of a data directory, or the file itself. @throws {ConfigError} for a store that is in no file. */
function databaseAt(place: string): string {
  if (place === IN_MEMORY)
    throw new ConfigError(`GATHERD_DATA_DIR is ${IN_MEMORY}: such a store is in no file, there is nothing to check.`)
  return statSync(place, { throwIfNoEntry: false })?.isDirectory() ? join(place, DATABASE_FILE) : place
}
