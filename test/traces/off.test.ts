import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Collector } from '../support/otlp.ts'
import { ADMIN_KEY, Installation } from '../support/process.ts'

const REPO = join(import.meta.dirname, '../..')
const WATCH = { NODE_OPTIONS: `--import=${join(import.meta.dirname, 'loaded.ts')}` }

/** What a service process loaded of the SDK and of what makes spans, in its whole life, with a batch in it. */
async function loaded(env: Record<string, string>): Promise<string[]> {
  await using installation = new Installation({ ...WATCH, ...env })
  await installation.start()
  const call = async (path: string, body: object, key: string) => {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
    return await fetch(installation.url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  }
  const made = await call('/v1/admin/tenants/default/keys', {}, ADMIN_KEY)
  const { key } = (await made.json()) as { key: string }
  const submitted = await call('/v1/batches', { jobs: [{ kind: 'sleep', durationMs: 0 }] }, key)
  expect(submitted.status).toBe(202)
  expect(await installation.process.end('SIGTERM')).toEqual({ status: 0, signal: null })
  return installation.process.stderr.split('\n').filter((line) => line.startsWith('loaded '))
}

describe('a service that is not traced', { timeout: 60_000 }, () => {
  it.each([[{}], [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_SDK_DISABLED: 'true' }]])(
    'loads nothing of it: %j',
    async (env) => {
      expect(await loaded(env)).toEqual([])
    },
  )

  it('would be seen to', async () => {
    await using collector = await Collector.start()

    const modules = await loaded({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })

    expect(modules.some((line) => line.includes('@opentelemetry/sdk-trace'))).toBe(true)
    expect(modules.some((line) => line.includes('src/traces/spans.ts'))).toBe(true)
    // And what there was to send was sent before it ended.
    expect(collector.spans.map(({ name }) => name)).toContain('POST /v1/batches')
  })
})

describe('the SDK', () => {
  it('is known to one file, which is loaded when it is wanted', () => {
    const importing = (what: RegExp) =>
      globSync(['src/**/*.ts', 'routes/**/*.ts'], { cwd: REPO }).filter((file) =>
        what.test(readFileSync(join(REPO, file), 'utf8')),
      )

    expect(importing(/from '@opentelemetry|import\('@opentelemetry/)).toEqual(['src/traces/sdk.ts'])
    expect(importing(/from '(\.\.?\/)+(traces\/)?(sdk|spans)\.ts'/)).toEqual([])
  })
})
