import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

const RUN = join(import.meta.dirname, '../../bench/run.ts')

/** Run it with a folder of its own in place of `docs/benchmarks`. */
async function bench(...args: string[]) {
  const folder = await mkdtemp(join(tmpdir(), 'gatherd-bench-run-'))
  const env = { ...process.env, BENCH_FOLDER: join(folder, 'benchmarks') }
  const { stdout } = await promisify(execFile)(process.execPath, [RUN, ...args, '--json', join(folder, 'all.json')], {
    env,
  })
  return {
    stdout,
    outcomes: JSON.parse(await readFile(join(folder, 'all.json'), 'utf8')),
    files: await readdir(join(folder, 'benchmarks')),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  }
}

/** What it answers to a command line, and with which status it ends. */
function answered(...args: string[]): Promise<{ status: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [RUN, ...args], (error, stdout, stderr) =>
      resolve({ status: error?.code ?? 0, stdout, stderr }),
    )
  })
}

describe('npm run bench', () => {
  it('measures what it is told to, says whether the target is met, and keeps JSON, chart and page', {
    timeout: 120_000,
  }, async () => {
    await using run = await bench('--quick', '--only', 'P2', '--count', '1000', '--write')

    expect(run.stdout).toMatch(/^gatherd ≥ 0\.35 × bare p-queue +[\d.,]+ × +(met|missed)$/m)
    expect(run.files.sort()).toEqual(['README.md', 'p2.json', 'p2.svg'])
    expect(run.outcomes).toMatchObject([
      {
        id: 'P2',
        command: 'npm run bench -- --only P2 --quick --count 1000 --write',
        series: [
          { name: 'bare p-queue', unit: 'jobs/s', figures: [expect.any(Number)] },
          { name: 'gatherd', unit: 'jobs/s', figures: [expect.any(Number)] },
        ],
      },
    ])
  })

  it('shows how it is used, and measures nothing', async () => {
    expect(await answered('--only', 'soak', '--help')).toEqual({
      status: 0,
      stdout: expect.stringContaining('P5: sleeps,drips,bodies,streams,submissions'),
      stderr: '',
    })
  })

  it('names a mistake in a line and ends with 2', async () => {
    expect(await answered('--only', 'P5', '--cases', 'foo')).toEqual({
      status: 2,
      stdout: '',
      stderr: 'npm run bench: --cases: P5 has no foo, only sleeps, drips, bodies, streams, submissions (--help)\n',
    })
  })
})
