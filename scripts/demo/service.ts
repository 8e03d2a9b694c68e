import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stop } from '../ci/processes.ts'

const REPO = join(import.meta.dirname, '../..')
const STOP_GRACE_MS = 20_000

/** A real service, `gatherd serve`, on a free port with a data directory of its own. */
export interface DemoService {
  url: string
  adminKey: string
  /** SIGTERM, wait, remove the data directory; resolves with the exit status. May be called twice. */
  stop(): Promise<number | string>
}

/** Start it, with none of the caller's own settings. @throws {Error} with what it printed when it does not start. */
export async function startService(): Promise<DemoService> {
  const adminKey = randomBytes(24).toString('hex')
  const dataDir = mkdtempSync(join(tmpdir(), 'gatherd-demo-'))
  const others = Object.entries(process.env).filter(([name]) => !name.startsWith('GATHERD_'))
  const env = {
    ...Object.fromEntries(others),
    GATHERD_PORT: '0',
    GATHERD_DATA_DIR: dataDir,
    GATHERD_ADMIN_KEY: adminKey,
    GATHERD_LOG_LEVEL: 'warn',
    GATHERD_DRAIN_GRACE_MS: '0',
    // The demo's targets are on this machine.
    GATHERD_EGRESS_ALLOW: '127.0.0.1',
  }
  const child = spawn(process.execPath, ['src/main.ts', 'serve'], { cwd: REPO, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const end = async () => {
    const status = await stop(child, STOP_GRACE_MS)
    rmSync(dataDir, { recursive: true, force: true })
    return status
  }
  try {
    return { url: await listening(child), adminKey, stop: end }
  } catch (error) {
    await end()
    throw error
  }
}

/** Where it says it listens. */
function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let printed = ''
    const read = (chunk: Buffer) => {
      printed += chunk
      const url = /gatherd \S+ on (http:\S+),/.exec(printed)?.[1]
      if (url !== undefined) resolve(url)
    }
    child.stdout?.on('data', read)
    child.stderr?.on('data', read)
    child.once('exit', () => reject(new Error(`The service did not start:\n${printed}`)))
  })
}
