import { describe, expect, it } from 'vitest'
import { TenantView } from '../../src/schema/views.ts'
import { startFake } from '../support/fake-parts.ts'

describe('GET /v1/tenant', () => {
  it("gives the caller's own limits and use", async () => {
    await using service = await startFake()

    const response = await service.http.get('/v1/tenant')

    expect(response.status).toBe(200)
    expect(TenantView.parse(response.body)).toMatchObject({
      id: 'default',
      limits: { maxConcurrency: 16 },
      usage: { running: 0 },
    })
  })
})
