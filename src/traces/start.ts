import type { Clock } from '../clock.ts'
import type { EngineTraces } from '../engine/local/traces.ts'
import type { RequestTraces } from '../http/traces.ts'
import { Delivery } from './delivery.ts'
import { traceSettings } from './settings.ts'

/** What makes the traces of a service, until it is closed. */
export type Traces = EngineTraces & RequestTraces & Pick<Closing, 'close'>

interface Closing {
  /** Send what there is, for so many milliseconds at most; never rejects. May be called twice. */
  close(graceMs: number): Promise<void>
}

type TracesLogger = Record<'info' | 'warn', (fields: object, message: string) => void>

/**
 * Begin to make traces, if the environment wants them (`OTEL_…`); nothing of the SDK is loaded otherwise.
 *
 * @param env - Also what the SDK reads by itself is taken from the environment of the process, whatever is given here.
 */
export async function startTraces(
  env: Readonly<Record<string, string | undefined>>,
  { clock, logger, version }: { clock: Clock; logger: TracesLogger; version: string },
): Promise<Traces | undefined> {
  const settings = traceSettings(env, (mistake) => logger.warn(mistake, 'a setting of traces cannot be used'))
  if (settings === null) return undefined
  const [{ sdkRecorder }, { Spans }] = await Promise.all([import('./sdk.ts'), import('./spans.ts')])
  const lost = (facts: { count: number; reason: string }) => logger.warn(facts, 'traces were lost, the service goes on')
  const recorder = sdkRecorder({ settings, version, clock, delivery: new Delivery({ clock, lost }) })
  logger.info({ endpoint: settings.endpoint }, 'traces are made')
  const spans = new Spans({ recorder, clock })
  return {
    attempt: (facts, kind) => spans.attempt(facts, kind),
    logged: (live, entry, ended) => spans.logged(live, entry, ended),
    submission: (request) => spans.submission(request),
    close: (graceMs) => recorder.close(graceMs),
  }
}
