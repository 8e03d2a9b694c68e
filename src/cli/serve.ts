import { flushCompileCache } from 'node:module'
import { systemClock } from '../clock.ts'
import { type Config, readConfig, SETTINGS } from '../config.ts'
import { ConfigError } from '../errors.ts'
import { listen } from '../http/listen.ts'
import { buildLogger } from '../log.ts'
import { readable } from '../log-format.ts'
import { MetricsListener } from '../metrics/listener.ts'
import { startTraces } from '../traces/start.ts'
import { type Service, wire } from '../wiring.ts'
import { type Command, type Io, packageJson } from './io.ts'
import { parsed } from './options.ts'

const HELP = `gatherd serve: run the service.

Settings come from the environment:
${SETTINGS.map(({ name, description, default: value }) => `  ${name.padEnd(28)} ${description} [${value ?? 'unset'}]`).join('\n')}
`

/** Run the service until SIGTERM or SIGINT: then drain, close and resolve with 0. */
export const serve: Command = async (io) => {
  if (parsed(io, HELP, {}) === null) return 0
  const config = readConfig(io.env)
  // From now on: as PID 1 of a container, a signal without a handler does nothing.
  const stopped = firstSignal(io)
  const destination = await readable(config.logFormat, io.stdout, io.env)
  const logger = buildLogger({ level: config.logLevel, ...(destination && { destination }) })
  logger.debug({}, 'starting')
  const onFatal = (err: Error) => {
    logger.fatal({ err, reason: err.message }, 'the store is gone')
    io.exit(70)
  }
  const { version } = packageJson
  const traces = await startTraces(io.env, { clock: systemClock, logger, version })
  const service = await wire(config, {
    clock: systemClock,
    logger,
    version,
    firstKeyLater: true,
    memoryLimitBytes: io.memoryLimitBytes,
    traces,
    onFatal,
  })
  const url = await open(service, config)
  const scrapes = await listenForScrapes(service, config)
  if (scrapes !== null) logger.info({ listeningOn: scrapes.url }, 'metrics without a key')
  logger.info({ listeningOn: url, ...storeOf(config), version }, 'listening')
  // Not before: a key that nobody sees because the port was taken is lost.
  // Beside a log of JSON it is on standard error: not every line of that log would be an object, and one would have a key.
  const people = destination === undefined ? io.stderr : io.stdout
  people.write(greeting(url, await firstKey(service)))
  // Now, for a process that is killed leaves none behind.
  flushCompileCache()
  const signal = await stopped
  logger.info({ signal, graceMs: config.drainGraceMs }, 'draining')
  const until = systemClock.now() + config.drainGraceMs
  await service.engine.drain(config.drainGraceMs)
  await scrapes?.close()
  await service.close()
  await traces?.close(flushMs(until - systemClock.now()))
  logger.info({}, 'stopped')
  return 0
}

/** How long the last spans may take: what is left of the grace, but never nothing, and no longer than is of use. */
function flushMs(left: number): number {
  return Math.max(1_000, Math.min(left, 5_000))
}

/** A first start writes more than it has written so far: that may be too much. */
async function firstKey(service: Service): Promise<string | null> {
  try {
    return await service.keys.first()
  } catch (error) {
    await service.close()
    throw service.atStart(error)
  }
}

/** For the log. The URL of a Redis has a password in it. */
function storeOf({ redisUrl, dataDir }: Config) {
  return redisUrl === undefined ? { store: 'SQLite', dataDir } : { store: 'Redis' }
}

async function open(service: Service, { host, port }: Config): Promise<string> {
  try {
    return await listen(service.app, { host, port })
  } catch (error) {
    await service.close()
    throw listenError(error, `${host}:${port}`, 'GATHERD_HOST, GATHERD_PORT')
  }
}

/** The port of the metrics, if there is to be one. */
async function listenForScrapes(
  service: Service,
  { metricsHost, metricsPort }: Config,
): Promise<MetricsListener | null> {
  if (metricsPort === undefined) return null
  try {
    return await MetricsListener.open(service.metrics, { host: metricsHost, port: metricsPort })
  } catch (error) {
    await service.close()
    throw listenError(error, `${metricsHost}:${metricsPort}`, 'GATHERD_METRICS_HOST, GATHERD_METRICS_PORT')
  }
}

/** A mistake in the settings needs words, not a stack. */
function listenError(thrown: unknown, where: string, settings: string): unknown {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  const why = new Map<unknown, string>([
    ['EADDRINUSE', 'another process listens there already'],
    ['EACCES', 'this user may not listen there'],
    ['EADDRNOTAVAIL', 'this machine has no such address'],
    ['ENOTFOUND', 'there is no such host name'],
  ]).get(code)
  return why === undefined
    ? thrown
    : new ConfigError(`Cannot listen on ${where}: ${why} (${settings}).`, { cause: thrown })
}

/** Resolves at the first signal. Another one is for `main.ts`, which ends the process whatever it is doing. */
function firstSignal(io: Io): Promise<string> {
  return new Promise((resolve) => void io.onSignal(resolve))
}

function greeting(url: string, firstKey: string | null): string {
  const lines = [`gatherd ${packageJson.version} on ${url}, Swagger UI on ${url}/docs`]
  if (firstKey === null) return `${lines[0]}\n`
  const body = `{"policy":"gather","jobs":[{"kind":"sleep","durationMs":250,"result":"hello"}]}`
  lines.push(
    '',
    `This is the first start. The key of tenant "default", shown this once:`,
    '',
    `  ${firstKey}`,
    '',
    'Try it:',
    '',
    `  curl -H 'Authorization: Bearer ${firstKey}' -H 'Content-Type: application/json' -H 'Prefer: wait=5' \\`,
    `    -d '${body}' ${url}/v1/batches`,
    '',
  )
  return `${lines.join('\n')}\n`
}
