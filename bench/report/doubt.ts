import type { Outcome } from './measure.ts'
import { judge, type Target, type Verdict } from './verdict.ts'

type Conditions = Pick<Outcome, 'command' | 'commit' | 'load' | 'machine'>

/**
 * Why the figures of an outcome are no more than placeholders: it was taken with `--quick`, of a tree with changes that are not committed, or
 * beside more work than the machine has cores. Empty when they can be judged.
 */
export function doubts({ command, commit, load, machine }: Conditions): string[] {
  const cores = Number.parseInt(machine, 10)
  return [
    ...(/ --quick\b/.test(command) ? ['quick'] : []),
    ...(load > cores ? [`load ${load.toFixed(0)} on ${cores} core${cores === 1 ? '' : 's'}`] : []),
    ...(commit.endsWith('-dirty') ? ['a tree with changes'] : []),
  ]
}

/** As `judge`, but what is in doubt has neither met its target nor missed it. */
export function fairly(outcome: Outcome, target: Target): Verdict {
  const verdict = judge(outcome, target)
  const isJudged = verdict.verdict === 'met' || verdict.verdict === 'missed'
  return isJudged && doubts(outcome).length > 0 ? { ...verdict, verdict: 'not judged' } : verdict
}
