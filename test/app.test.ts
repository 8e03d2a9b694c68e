import { describe, expect, it } from 'vitest'
import { startFake } from './support/fake-parts.ts'

describe('buildApp', () => {
  it('answers a submission with 202, Location and the batch', async () => {
    await using service = await startFake()

    const response = await service.http.post('/v1/batches').send({ jobs: [{ kind: 'sleep', durationMs: 1 }] })

    expect(response.status).toBe(202)
    expect(response.headers.location).toBe('/v1/batches/batch-1')
    expect(response.body).toMatchObject({ id: 'batch-1', counts: { total: 1 } })
  })
})
