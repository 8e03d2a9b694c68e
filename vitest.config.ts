import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/**/*.test.ts'],
    // A process a file: SQLite handles, worker threads and open sockets of one file never meet another's.
    pool: 'forks',
    testTimeout: 10_000,
    hookTimeout: 20_000,
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
