import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const TALLY = join(import.meta.dirname, '../../scripts/ci/tally.ts')

/** What the tally says of a report of vitest's. */
function tally(report?: object): string {
  const dir = mkdtempSync(join(tmpdir(), 'gatherd-tally-'))
  try {
    const path = join(dir, 'vitest.json')
    if (report !== undefined) writeFileSync(path, JSON.stringify(report))
    return execFileSync(process.execPath, [TALLY, path], { encoding: 'utf8' }).trim()
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

describe('the tally of a CI run', () => {
  const counts = { numPassedTests: 7, numFailedTests: 2, numPendingTests: 1, numTodoTests: 0 }

  it('says how many tests passed, failed and were skipped', () => {
    expect(tally({ ...counts, testResults: [{ status: 'failed', assertionResults: [{}] }] })).toBe('7 2 1')
  })

  it('counts a file that could not be loaded as a failure', () => {
    expect(tally({ ...counts, testResults: [{ status: 'failed', assertionResults: [] }] })).toBe('7 3 1')
  })

  it('counts a run that left no report as a failure', () => {
    expect(tally()).toBe('0 1 0')
  })
})
