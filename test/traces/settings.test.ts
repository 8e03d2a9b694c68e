import { describe, expect, it } from 'vitest'
import { traceSettings } from '../../src/traces/settings.ts'

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }

/** The settings of an environment, and the names of the variables that are wrong. */
function read(env: Record<string, string>) {
  const wrong: string[] = []
  const settings = traceSettings(env, ({ name }) => wrong.push(name))
  return { settings, wrong }
}

describe('traces', () => {
  it.each([
    [{}],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }],
    [{ OTEL_SERVICE_NAME: 'x' }],
    [{ ...ENDPOINT, OTEL_SDK_DISABLED: 'true' }],
    [{ ...ENDPOINT, OTEL_SDK_DISABLED: 'TRUE' }],
    [{ ...ENDPOINT, OTEL_TRACES_EXPORTER: 'none' }],
    [{ OTEL_TRACES_EXPORTER: 'otlp', OTEL_SDK_DISABLED: 'true' }],
  ])('are not made with %j', (env) => {
    expect(read(env)).toEqual({ settings: null, wrong: [] })
  })

  it.each([
    [ENDPOINT],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:4318/v1/traces' }],
    [{ OTEL_TRACES_EXPORTER: 'otlp' }],
    [{ ...ENDPOINT, OTEL_SDK_DISABLED: 'false' }],
    [{ ...ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf' }],
  ])('are made with %j, with the defaults of the specification', (env) => {
    expect(read(env)).toEqual({
      settings: {
        endpoint: expect.stringMatching(/^http:\/\/(?:127\.0\.0\.1|localhost):4318$/),
        sampler: { parentBased: true, ratio: 1 },
        batching: {
          scheduledDelayMillis: 5_000,
          exportTimeoutMillis: 30_000,
          maxQueueSize: 2_048,
          maxExportBatchSize: 512,
        },
      },
      wrong: [],
    })
  })

  it.each([
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'localhost:4318'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', '127.0.0.1:4318'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'ftp://collector/'],
    ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'localhost:4318/v1/traces'],
  ])('are not made with %s=%s, and that is said', (name, value) => {
    expect(read({ ...ENDPOINT, [name]: value })).toEqual({ settings: null, wrong: [name] })
  })

  it.each([
    [{ OTEL_TRACES_EXPORTER: 'otlp' }, 'http://localhost:4318'],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://me:secret@collector.example:9/base?key=1' },
      'https://collector.example:9',
    ],
    [{ ...ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://traces.example/v1/traces' }, 'http://traces.example'],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'x', OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://a.example' }, 'http://a.example'],
  ])('go with %j to %s, which is told without what may be a secret', (env, endpoint) => {
    expect(read(env)).toMatchObject({ settings: { endpoint }, wrong: [] })
  })

  it('are not made for an exporter that is not there, and that is said', () => {
    expect(read({ ...ENDPOINT, OTEL_TRACES_EXPORTER: 'zipkin' })).toEqual({
      settings: null,
      wrong: ['OTEL_TRACES_EXPORTER'],
    })
  })

  it.each([
    ['always_on', undefined, { parentBased: false, ratio: 1 }],
    ['always_off', '1', { parentBased: false, ratio: 0 }],
    ['traceidratio', '0.25', { parentBased: false, ratio: 0.25 }],
    ['parentbased_always_on', '0', { parentBased: true, ratio: 1 }],
    ['parentbased_always_off', undefined, { parentBased: true, ratio: 0 }],
    ['parentbased_traceidratio', '0', { parentBased: true, ratio: 0 }],
    ['parentbased_traceidratio', undefined, { parentBased: true, ratio: 1 }],
  ])('are kept as %s %s says', (sampler, argument, expected) => {
    const env = { ...ENDPOINT, OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: argument ?? '' }

    expect(read(env)).toMatchObject({ settings: { sampler: expected }, wrong: [] })
  })

  it.each([
    ['OTEL_TRACES_SAMPLER', 'sometimes'],
    ['OTEL_TRACES_SAMPLER', 'toString'],
    ['OTEL_BSP_MAX_QUEUE_SIZE', '0'],
    ['OTEL_BSP_SCHEDULE_DELAY', 'soon'],
    ['OTEL_BSP_EXPORT_TIMEOUT', '-1'],
    ['OTEL_BSP_MAX_EXPORT_BATCH_SIZE', '1.5'],
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc'],
    ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'http/json'],
  ])('are made in spite of %s=%s, which is said, and the default is used', (name, value) => {
    expect(read({ ...ENDPOINT, [name]: value })).toEqual({ settings: read(ENDPOINT).settings, wrong: [name] })
  })

  it.each(['2', '-0.1', 'half'])('are all kept where the ratio is %s, and that is said', (ratio) => {
    const env = { ...ENDPOINT, OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: ratio }

    expect(read(env)).toMatchObject({ settings: { sampler: { ratio: 1 } }, wrong: ['OTEL_TRACES_SAMPLER_ARG'] })
  })

  it('are never sent more at once than may wait', () => {
    const env = { ...ENDPOINT, OTEL_BSP_MAX_QUEUE_SIZE: '100', OTEL_BSP_SCHEDULE_DELAY: '10' }

    expect(read(env).settings?.batching).toMatchObject({ maxExportBatchSize: 100, scheduledDelayMillis: 10 })
  })
})
