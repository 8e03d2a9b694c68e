/**
 * `npm run demo`: a real service and a small origin on this machine, and what gatherd does with them. Ends by itself with status 0, or
 * with 1 when something that it shows is not as promised. `npm run demo -- --keep` leaves both running until Ctrl-C.
 */
import { once } from 'node:events'
import { Api } from './demo/api.ts'
import { abortedGroup, cancelledJob, gatheredResults, measuredCaps, mixedBatches } from './demo/chapters.ts'
import { DemoOrigin } from './demo/origin.ts'
import { Screen } from './demo/screen.ts'
import { type DemoService, startService } from './demo/service.ts'
import { type DemoTenant, newTenant, type Story } from './demo/story.ts'

const HELP = `npm run demo: watch gatherd run two batches, abort a task group and close a socket. No network is needed.

  --keep   leave the service and the origin running at the end, until Ctrl-C (npm run demo -- --keep)
`

/** The whole demo; resolves with how many promises did not hold. */
async function tell(screen: Screen, service: DemoService, origin: DemoOrigin, keep: boolean): Promise<number> {
  let broken = 0
  const promise = (what: string, held: boolean) => {
    if (!held) broken++
    screen.print(held ? `  ${screen.paint('green', '✔')} ${what}` : `  ${screen.paint('red', '✘ NOT TRUE:')} ${what}`)
  }
  const story: Story = { screen, origin, promise }
  screen.print(
    screen.paint('bold', 'gatherd: gather, as_completed and TaskGroup over HTTP'),
    '',
    `  service     ${service.url}   its data in a temporary directory`,
    `  Swagger UI  ${service.url}/docs`,
    `  origin      ${origin.url}   what the jobs talk to: fast, slow, failing and hanging paths`,
  )
  const admin = new Api({ url: service.url, key: service.adminKey })
  const acme = await newTenant(service.url, admin, 'acme', 2)
  const globex = await newTenant(service.url, admin, 'globex', 5)
  const [, second] = await mixedBatches(story, acme, globex)
  gatheredResults(story, second)
  await abortedGroup(story, globex)
  await cancelledJob(story, acme)
  measuredCaps(story, [acme, globex])
  screen.print('', broken === 0 ? 'Everything was as promised.' : `${broken} of the promises did not hold.`)
  if (keep) await stayUp(screen, service, origin, acme)
  else screen.print(`Swagger UI was on ${service.url}/docs; npm run demo -- --keep leaves it running.`)
  return broken
}

async function stayUp(
  screen: Screen,
  { url, adminKey }: DemoService,
  origin: DemoOrigin,
  acme: DemoTenant,
): Promise<void> {
  const jobs = `{"kind":"fetch","url":"${origin.url}/slow?ms=300"},{"kind":"fetch","url":"${origin.url}/fail"}`
  screen.print(
    '',
    `Swagger UI: ${url}/docs (Authorize with the key below). Ctrl-C ends it. Try:`,
    '',
    `  curl -H 'Authorization: Bearer ${acme.key}' -H 'Content-Type: application/json' \\`,
    `    -H 'Accept: application/x-ndjson' -d '{"policy":"gather","jobs":[${jobs}]}' ${url}/v1/batches`,
    '',
    `The admin key: ${adminKey}`,
  )
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
}

async function main(args: string[]): Promise<number> {
  const unknown = args.filter((arg) => arg !== '--keep')
  if (unknown.length > 0) {
    console.log(HELP)
    return unknown.every((arg) => arg === '--help' || arg === '-h') ? 0 : 2
  }
  const screen = new Screen(process.stdout)
  const origin = await DemoOrigin.start()
  const service = await startService()
  const quit = () => void service.stop().then(() => process.exit(130))
  const keep = args.includes('--keep')
  if (!keep) process.once('SIGINT', quit).once('SIGTERM', quit)
  try {
    const broken = await tell(screen, service, origin, keep)
    const status = await service.stop()
    if (status !== 0) screen.print(`The service ended with ${status}.`)
    return broken === 0 && status === 0 ? 0 : 1
  } finally {
    await service.stop()
    origin.close()
  }
}

process.exitCode = await main(process.argv.slice(2))
