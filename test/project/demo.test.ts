import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const REPO = join(import.meta.dirname, '../..')

/** Run the demo as a reader does, its output a pipe, with a folder of its own for what is temporary. */
function demo(...args: string[]) {
  const temporary = mkdtempSync(join(tmpdir(), 'gatherd-demo-test-'))
  try {
    const env = { ...process.env, TMPDIR: temporary }
    const ran = spawnSync(process.execPath, ['scripts/demo.ts', ...args], { cwd: REPO, env, encoding: 'utf8' })
    return { ...ran, left: readdirSync(temporary) }
  } finally {
    rmSync(temporary, { recursive: true })
  }
}

describe('npm run demo', () => {
  it('shows what it promises, ends by itself with 0 and leaves nothing behind', { timeout: 60_000 }, () => {
    const { status, stdout, stderr, left } = demo()

    expect(stderr).toBe('')
    expect(stdout).toContain('Everything was as promised.')
    expect(status).toBe(0)
    for (const words of ['/docs', 'ExceptionGroup', 'never started', 'its socket close', 'at most 2 at once'])
      expect(stdout).toContain(words)
    expect(stdout).not.toContain('NOT TRUE')
    expect(stdout, 'no escape codes without a terminal').not.toContain('\x1b')
    expect(left).toEqual([])
  })

  it('says what it can be asked', () => {
    expect(demo('--help').status).toBe(0)
    expect(demo('--nope').status).toBe(2)
  })
})
