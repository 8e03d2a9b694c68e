import { describe, expect, it } from 'vitest'
import { startFake } from '../support/fake-parts.ts'

describe('GET /livez', () => {
  it('answers anybody, and also while the service drains', async () => {
    await using service = await startFake()
    await service.engine.drain(0)

    const response = await service.anybody.get('/livez')

    expect([response.status, response.body]).toEqual([200, { status: 'ok' }])
  })
})

describe('GET /readyz', () => {
  it('answers 200 while work is taken', async () => {
    await using service = await startFake()

    expect((await service.anybody.get('/readyz')).status).toBe(200)
  })

  it('answers 503 once it is not', async () => {
    await using service = await startFake()
    await service.engine.drain(0)

    const response = await service.anybody.get('/readyz')

    expect([response.status, response.body.code, response.headers['retry-after']]).toEqual([503, 'shutting_down', '5'])
  })
})
