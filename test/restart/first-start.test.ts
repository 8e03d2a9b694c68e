import { Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { readConfig } from '../../src/config.ts'
import { buildLogger } from '../../src/log.ts'
import { wire } from '../../src/wiring.ts'
import { tempDir } from '../support/temp-dir.ts'

const ADMIN_KEY = 'the-operators-key-of-a-test-service'

/** Start a service, do something to it, and end it; resolves with the key that the start made, and the tenants it left. */
async function run(dataDir: string, env: Record<string, string> = {}, remove: string[] = []) {
  const service = await wire(readConfig({ GATHERD_DATA_DIR: dataDir, GATHERD_ADMIN_KEY: ADMIN_KEY, ...env }), {
    clock: systemClock,
    logger: buildLogger({ level: 'error', destination: new Writable() }),
    version: '0.0.0-test',
    onFatal: (error) => expect.fail(error.message),
  })
  const headers = { authorization: `Bearer ${ADMIN_KEY}` }
  for (const id of remove) await service.app.inject({ method: 'DELETE', url: `/v1/admin/tenants/${id}`, headers })
  const { data } = (await service.app.inject({ url: '/v1/admin/tenants', headers })).json()
  await service.close()
  return { key: service.firstKey, tenants: data.map(({ id }: { id: string }) => id) }
}

describe('a start', () => {
  it('makes tenant default with a key the first time, with an admin key as well', async () => {
    using dir = tempDir()

    expect(await run(dir.path)).toEqual({ key: expect.stringMatching(/^gth_/), tenants: ['default'] })
    expect(await run(dir.path)).toEqual({ key: null, tenants: ['default'] })
  })

  it('makes neither again after the operator has deleted the tenant with the last key', async () => {
    using dir = tempDir()
    await run(dir.path, {}, ['default'])

    expect(await run(dir.path)).toEqual({ key: null, tenants: [] })
    expect(await run(dir.path)).toEqual({ key: null, tenants: [] })
  })

  it('makes the key where the first one needed none', async () => {
    using dir = tempDir()
    expect(await run(dir.path, { GATHERD_AUTH: 'off' })).toEqual({ key: null, tenants: ['default'] })

    expect(await run(dir.path)).toEqual({ key: expect.stringMatching(/^gth_/), tenants: ['default'] })
  })
})
