import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { verdictOn } from '../../scripts/chaos/verdict.ts'

const CHAOS = join(import.meta.dirname, '../../scripts/chaos.ts')

/** What it answers to a command line, and with which status it ends. */
function answered(...args: string[]): Promise<{ status: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [CHAOS, ...args], (error, stdout, stderr) =>
      resolve({ status: error?.code ?? 0, stdout, stderr }),
    )
  })
}

describe('the verdict on a round of chaos', () => {
  it.each([
    [{ kills: 2, violations: [] }, 'ok'],
    [{ kills: 0, violations: [] }, 'ok, but nothing was killed'],
    [{ kills: 2, violations: ['a job is lost'] }, 'FAILED'],
    [{ kills: 0, violations: ['a job is lost'] }, 'FAILED'],
  ])('of %j is %s', (report, verdict) => {
    expect(verdictOn(report)).toBe(verdict)
  })
})

describe('npm run chaos', () => {
  it.each([
    [['--frob'], "npm run chaos: Unknown option '--frob' (--help)\n"],
    [['--rounds', 'many'], 'npm run chaos: --rounds, --seed, --kills, --replicas and --batches are whole numbers.\n'],
  ])('names a mistake in a line and ends with 2: %j', async (args, stderr) => {
    expect(await answered(...args)).toEqual({ status: 2, stdout: '', stderr })
  })

  it('shows how it is used', async () => {
    expect(await answered('--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('--replicas N') })
  })
})
