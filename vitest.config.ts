import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { findRedisServer, HINT } from './scripts/redis-server.ts'

const common = {
  environment: 'node',
  setupFiles: './test/support/compile-cache.ts',
  // A process a file: SQLite handles, worker threads and open sockets of one file never meet another's.
  pool: 'forks',
  // Left to itself vitest keeps one core free: of two, half of the time. What most tests wait for is no core anyway.
  maxWorkers: Math.max(2, availableParallelism()),
  // Where others have the machine too, only what hangs takes so long.
  testTimeout: process.env.CI ? 30_000 : 10_000,
  hookTimeout: process.env.CI ? 60_000 : 20_000,
  // Real processes, disks and sockets on a shared machine: there, what fails once for want of time is tried again, and told.
  retry: process.env.CI ? 2 : 0,
} as const

/** What a batch means, from outside: the same for every engine. What concerns the edge or the way out alone is not run twice. */
const CONTRACT = [
  ...[
    'policies',
    'shield',
    'cancel',
    'caps',
    'clocks',
    'events',
    'lifecycle',
    'metrics',
    'observation',
    'observers',
    'idempotency',
  ],
  ...['isolation', 'backpressure', 'rate', 'retention', 'who-wins', 'unwinding', 'programs', 'routes', 'tenants'],
  ...['tenant-egress', 'thousand', 'traces', 'validate', 'stored-bytes', 'robustness'],
]

/** What is most of it where attempts stop, for a replica whose attempts all run on another one. */
const SPREAD = ['cancel', 'shield', 'unwinding']

/** The contract once more, over replicas; left out, with a word, where there is no Redis. */
function overRedis() {
  if (findRedisServer() === null) {
    console.warn(`The contract is not held against the cluster: ${HINT}.`)
    return []
  }
  const modes = { cluster: CONTRACT, spread: SPREAD }
  return Object.entries(modes).map(([name, files]) => {
    const include = files.map((file) => `test/service/${file}.test.ts`)
    return { test: { ...common, name, include, env: { GATHERD_TEST_ENGINE: name } } }
  })
}

export default defineConfig({
  test: {
    projects: [{ test: { ...common, name: 'all', include: ['test/**/*.test.ts'] } }, ...overRedis()],
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts', 'routes/**/*.ts'],
      exclude: [
        // Runs in processes that tests start with `node src/main.ts`, which V8's counters here cannot see.
        'src/main.ts',
        // The entry of a worker thread, likewise: it only passes messages on to service.ts.
        'src/store/sqlite/worker.ts',
      ],
      reporter: ['text-summary', 'html', 'json-summary'],
      // Else one test that fails leaves nobody any figures.
      reportOnFailure: true,
      thresholds: { lines: 95, branches: 90 },
    },
  },
})
