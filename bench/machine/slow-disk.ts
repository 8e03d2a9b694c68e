import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MissingTool } from './tool.ts'

/** What makes a process' disk slow: settings of its environment. */
export interface SlowDisk extends AsyncDisposable {
  env: Record<string, string>
}

const SOURCE = fileURLToPath(new URL('../shim/slow-fsync.c', import.meta.url))

/** Five fsyncs of a scratch file, and what they took in milliseconds. */
const PROBE = `
const { mkdtempSync, openSync, writeSync, fsyncSync, rmSync } = require('node:fs')
const dir = mkdtempSync(require('node:path').join(require('node:os').tmpdir(), 'gatherd-fsync-'))
const file = openSync(dir + '/x', 'w')
const start = performance.now()
for (let i = 0; i < 5; i++) { writeSync(file, 'x'); fsyncSync(file) }
console.log(performance.now() - start)
rmSync(dir, { recursive: true })`

/** Compile the shim that delays each fsync by 5 ms. @throws {MissingTool} when there is no C compiler, or it does not delay anything. */
export async function slowDisk(): Promise<SlowDisk> {
  const dir = await mkdtemp(join(tmpdir(), 'gatherd-shim-'))
  const remove = () => rm(dir, { recursive: true, force: true })
  const library = join(dir, 'slow.so')
  const env = { LD_PRELOAD: library }
  const built = spawnSync('cc', ['-shared', '-fPIC', '-O2', '-o', library, SOURCE, '-ldl'], { encoding: 'utf8' })
  const reason = built.status === 0 ? withoutEffect(env) : `no C compiler: ${built.error?.message ?? built.stderr}`
  if (reason === null) return { env, [Symbol.asyncDispose]: remove }
  await remove()
  throw new MissingTool(reason)
}

function withoutEffect(env: SlowDisk['env']): string | null {
  const { stdout } = spawnSync(process.execPath, ['-e', PROBE], { env: { ...process.env, ...env }, encoding: 'utf8' })
  return Number(stdout) >= 25 ? null : 'the shim delays nothing here'
}
