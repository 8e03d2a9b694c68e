import { describe, expect, it } from 'vitest'
import { readConfig, SETTINGS } from '../src/config.ts'
import { ConfigError } from '../src/errors.ts'

/** The lines of the error that an environment is refused with. */
function refusal(env: Record<string, string>): string[] {
  try {
    readConfig(env)
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown.message.split('\n  ').slice(1)
    throw thrown
  }
  return []
}

describe('readConfig', () => {
  it('has a default for everything', () => {
    expect(readConfig({})).toEqual({
      host: '127.0.0.1',
      port: 3_000,
      dataDir: './data',
      redisUrl: undefined,
      adminKey: undefined,
      secretKey: undefined,
      auth: 'on',
      trustProxy: false,
      maxConcurrency: 256,
      tenantConcurrency: 16,
      hostConcurrency: 0,
      addressConcurrency: 0,
      maxQueuedJobs: 100_000,
      maxBatchJobs: 10_000,
      maxLiveBatches: 10_000,
      maxTenantBytes: 10_737_418_240,
      jobsPerSecond: 0,
      requestsPerMinute: 0,
      bodyLimitBytes: 16 * 1_024 * 1_024,
      maxInflightBodyBytes: 0,
      maxConnections: 10_000,
      maxConnectionsPerAddress: 5_000,
      requestTimeoutMs: 30_000,
      maxWaitMs: 60_000,
      maxObservers: 2_000,
      maxUnreadBytes: 268_435_456,
      maxEventLoopDelayMs: 1_000,
      maxHeapBytes: 0,
      maxRssBytes: 0,
      egressMaxInflightBytes: 256 * 1_024 * 1_024,
      drainGraceMs: 10_000,
      retentionMs: 86_400_000,
      egressMode: 'public',
      egressAllow: [],
      egressAllowHosts: [],
      egressDeny: [],
      egressDenyHosts: [],
      egressNat64: [],
      egressDns: [],
      egressConnectTimeoutMs: 5_000,
      egressHeadersTimeoutMs: 15_000,
      egressIdleTimeoutMs: 60_000,
      egressMaxResponseBytes: 10_485_760,
      egressMaxWireBytes: 12_582_912,
      egressMaxRequestBytes: 1_048_576,
      egressMaxHeaderBytes: 16_384,
      egressMaxHeaders: 128,
      metricsPort: undefined,
      metricsHost: '127.0.0.1',
      kinds: undefined,
      leaseMs: 10_000,
      spread: 'on',
      logLevel: 'info',
      logFormat: undefined,
    })
  })

  it('reads what is set', () => {
    const env = {
      GATHERD_PORT: '0',
      GATHERD_DATA_DIR: ':memory:',
      GATHERD_MAX_BATCH_JOBS: '20_000',
      GATHERD_AUTH: 'off',
    }

    expect(readConfig(env)).toMatchObject({ port: 0, dataDir: ':memory:', maxBatchJobs: 20_000, auth: 'off' })
  })

  it('takes a rate as a number with or without a fraction, 0 for none', () => {
    const read = (GATHERD_JOBS_PER_SECOND: string) => readConfig({ GATHERD_JOBS_PER_SECOND }).jobsPerSecond

    expect(['0', '0.001', '0.5', '20', '1_000.25', '1000000'].map(read)).toEqual([0, 0.001, 0.5, 20, 1_000.25, 1e6])
    for (const wrong of ['-1', '.5', '5.', '1e3', 'NaN', '0.0009', '1000001', '1/2'])
      expect(() => read(wrong)).toThrow('GATHERD_JOBS_PER_SECOND must be')
  })

  it('takes an empty variable for one that is not set', () => {
    expect(readConfig({ GATHERD_PORT: '' }).port).toBe(3_000)
  })

  it('does not look at the variables of others', () => {
    expect(() => readConfig({ PATH: '/bin', GATHER_PORT: 'x', PORT: 'x' })).not.toThrow()
  })

  it('names all that is wrong at once', () => {
    expect(
      refusal({ GATHERD_PORT: 'x', GATHERD_AUTH: 'maybe', GATHERD_MAX_WAIT_MS: '-1', GATHERD_NOPE_AT_ALL: '1' }),
    ).toEqual([
      'GATHERD_PORT must be a whole number.',
      'GATHERD_AUTH must be one of on, off.',
      'GATHERD_MAX_WAIT_MS must be a whole number.',
      'GATHERD_NOPE_AT_ALL is no setting.',
    ])
  })

  it.each([
    [{ GATHERD_PORT: '65536' }, 'GATHERD_PORT must be at most 65535.'],
    [{ GATHERD_PORT: '3000.5' }, 'GATHERD_PORT must be a whole number.'],
    [{ GATHERD_PORT: '0x10' }, 'GATHERD_PORT must be a whole number.'],
    [{ GATHERD_MAX_CONCURRENCY: '0' }, 'GATHERD_MAX_CONCURRENCY must be at least 1.'],
    [{ GATHERD_MAX_BATCH_JOBS: '1000001' }, 'GATHERD_MAX_BATCH_JOBS must be at most 1000000.'],
    [{ GATHERD_ADMIN_KEY: 'short' }, 'GATHERD_ADMIN_KEY must be 32 to 512 visible ASCII characters without blanks.'],
    [{ GATHERD_LOG_LEVEL: 'loud' }, 'GATHERD_LOG_LEVEL must be one of trace, debug, info, warn, error, fatal, silent.'],
    [{ GATHERD_LOG_FORMAT: 'xml' }, 'GATHERD_LOG_FORMAT must be one of json, pretty.'],
    [{ GATHERD_PROT: '1' }, 'GATHERD_PROT is no setting; did you mean GATHERD_PORT?'],
    [{ GATHERD_MAX_CONCURENCY: '1' }, 'GATHERD_MAX_CONCURENCY is no setting; did you mean GATHERD_MAX_CONCURRENCY?'],
  ])('refuses %j', (env, line) => {
    expect(refusal(env)).toContain(line)
  })

  it('says what a Redis URL looks like, and nothing of what it is', () => {
    expect(refusal({ GATHERD_REDIS_URL: 'http://:secret@localhost' })).toEqual([
      'GATHERD_REDIS_URL must be redis://host or rediss://host, as redis://user:password@host:6379/0.',
    ])
  })

  it('repeats no secret', () => {
    expect(refusal({ GATHERD_ADMIN_KEY: 'hunter2' }).join()).not.toContain('hunter2')
    expect(refusal({ GATHERD_SECRET_KEY: 'hunter2' }).join()).not.toContain('hunter2')
  })

  it.each([['k'.repeat(32)], ['k'.repeat(512)], [`${'new'.repeat(11)},${'old'.repeat(11)}`]])(
    'takes %s for the keys of secrets',
    (text) => {
      expect(readConfig({ GATHERD_SECRET_KEY: text }).secretKey).toBe(text)
    },
  )

  it.each([['k'.repeat(31)], ['k'.repeat(513)], [`${'k'.repeat(32)},`], [`${'k'.repeat(32)},short`], [' '.repeat(40)]])(
    'does not take "%s" for the keys of secrets',
    (text) => {
      expect(refusal({ GATHERD_SECRET_KEY: text })).toEqual([expect.stringMatching(/^GATHERD_SECRET_KEY must be one/)])
    },
  )

  it.each([['127.0.0.1'], ['127.1.2.3'], ['::1'], ['localhost']])('lets authentication be off on %s', (host) => {
    expect(readConfig({ GATHERD_HOST: host, GATHERD_AUTH: 'off' }).auth).toBe('off')
  })

  it.each([['0.0.0.0'], ['::'], ['10.0.0.1'], ['example.com'], ['127.0.0.1.example.com'], ['localhost.example.com']])(
    'does not let authentication be off on %s',
    (host) => {
      expect(refusal({ GATHERD_HOST: host, GATHERD_AUTH: 'off' })).toEqual([
        `GATHERD_AUTH may be "off" on loopback only, and GATHERD_HOST is "${host}".`,
      ])
    },
  )
})

describe('the budget of response bodies', () => {
  it('has room for one of them', () => {
    const settings = { GATHERD_EGRESS_MAX_INFLIGHT_BYTES: '2000000', GATHERD_EGRESS_MAX_RESPONSE_BYTES: '2000000' }

    expect(readConfig(settings).egressMaxInflightBytes).toBe(2_000_000)
    expect(refusal({ ...settings, GATHERD_EGRESS_MAX_RESPONSE_BYTES: '2000001' })).toEqual([
      'GATHERD_EGRESS_MAX_INFLIGHT_BYTES must be at least GATHERD_EGRESS_MAX_RESPONSE_BYTES, that is 2000001.',
    ])
    expect(refusal({ GATHERD_EGRESS_MAX_INFLIGHT_BYTES: '2000000' })).toHaveLength(1)
  })
})

describe('SETTINGS', () => {
  it('describes every setting, with its default', () => {
    expect(SETTINGS).toHaveLength(Object.keys(readConfig({})).length)
    for (const setting of SETTINGS) expect(setting.description).toMatch(/\.$/)
    expect(SETTINGS).toContainEqual({ name: 'GATHERD_PORT', default: '3000', description: expect.any(String) })
    expect(SETTINGS).toContainEqual(expect.objectContaining({ name: 'GATHERD_ADMIN_KEY', default: null }))
  })

  it('has defaults that are taken when they are spelled out', () => {
    const env = Object.fromEntries(
      SETTINGS.filter((each) => each.default !== null).map((each) => [each.name, each.default ?? '']),
    )

    expect(readConfig(env)).toEqual(readConfig({}))
  })
})
