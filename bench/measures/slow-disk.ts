// P11: P1 again on a disk whose every fsync takes 5 ms more.
import { ask } from '../machine/ask.ts'
import { startNginx } from '../machine/nginx.ts'
import { rateOfService } from '../machine/rate.ts'
import { startService } from '../machine/service.ts'
import { slowDisk } from '../machine/slow-disk.ts'
import type { Measure } from '../report/measure.ts'
import { turns } from './turns.ts'

const [PLAIN, SLOW] = ['the disk as it is', 'every fsync 5 ms slower']

/** P11: fetches per second on the disk as it is and on the slow one, in turns, and how late the event loop is meanwhile. */
export const slowness: Measure = {
  id: 'P11',
  title: 'fetch jobs per second on a slow disk, and how late the event loop is',
  base: PLAIN,
  targets: [
    { series: SLOW, per: PLAIN, least: 0.8 },
    { series: `event loop late, p99, ${SLOW}`, most: 10 },
  ],
  async run(book, { rounds, count, say }) {
    await using shim = await slowDisk()
    await using nginx = await startNginx()
    const disks = [
      { name: PLAIN, env: {} },
      { name: SLOW, env: shim.env },
    ]
    for (let round = 1; round <= rounds; round++) {
      for (const { name, env } of turns(disks, round)) {
        await using service = await startService({ env: { GATHERD_TENANT_CONCURRENCY: '64', ...env }, inside: true })
        await ask(service, 'reset')
        const rate = await rateOfService(service, { kind: 'fetch', url: nginx.url }, count)
        const { lag } = await ask(service, 'look')
        say(`  round ${round}: ${name}: ${Math.round(rate)} jobs/s, the loop ${lag.p99Ms.toFixed(1)} ms late at p99`)
        book.add(name, 'jobs/s', rate)
        book.add(`event loop late, p99, ${name}`, 'ms', lag.p99Ms)
        book.add(`event loop late, at most, ${name}`, 'ms', lag.maxMs)
      }
    }
  },
}
