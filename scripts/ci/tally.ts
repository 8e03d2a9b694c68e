/**
 * `node scripts/ci/tally.ts REPORT.json`: the counts of vitest's JSON report as `passed failed skipped`.
 * A file that could not be collected counts as one failure; no report at all as one as well.
 */
import { existsSync, readFileSync } from 'node:fs'

interface Report {
  numPassedTests: number
  numFailedTests: number
  numPendingTests: number
  numTodoTests: number
  testResults: { status: string; assertionResults: unknown[] }[]
}

const path = process.argv[2] ?? ''
if (existsSync(path)) {
  const report: Report = JSON.parse(readFileSync(path, 'utf8'))
  const broken = report.testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
  )
  console.log(
    report.numPassedTests,
    report.numFailedTests + broken.length,
    report.numPendingTests + report.numTodoTests,
  )
} else {
  console.log(0, 1, 0)
}
