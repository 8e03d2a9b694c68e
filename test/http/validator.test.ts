import { describe, expect, it } from 'vitest'
import { startFake } from '../support/fake-parts.ts'

const BATCH = '/v1/batches/0'

describe('a query parameter that there is none of', () => {
  it.each<[string, string]>([
    ['/v1/batches', 'the parameters are state, label.<key>, limit, cursor'],
    [BATCH, 'the parameters are include'],
    [`${BATCH}/jobs`, 'the parameters are order, state, limit, cursor'],
    [`${BATCH}/wait`, 'the parameters are returnWhen, timeoutMs'],
    [`${BATCH}/events`, 'the parameters are after, only, timeoutMs'],
    ['/v1/tenant', 'there are none'],
    ['/v1/jobs/0', 'there are none'],
  ])('of %s is answered with those that there are', async (path, known) => {
    await using service = await startFake()

    const { status, body } = await service.http.get(`${path}?lable.run=1`)

    expect([status, body.errors]).toEqual([
      422,
      [{ pointer: '/query/lable.run', detail: `Is no parameter here; ${known}.` }],
    ])
  })

  it.each(['/v1/admin/tenants', '/v1/admin/tenants/acme/keys'])("of the operator's %s too", async (path) => {
    await using service = await startFake()

    const { body } = await service.admin.get(`${path}?x=1`)

    expect(body.errors[0]).toMatchObject({
      pointer: '/query/x',
      detail: expect.stringMatching(/^Is no parameter here; /),
    })
  })

  it('is not what a wrong field of a body is called', async () => {
    await using service = await startFake()

    const { body } = await service.http.post('/v1/batches/x/cancel').send({ because: '' })

    expect(body.errors).toEqual([{ pointer: '/because', detail: 'Is not a field here; the fields are reason.' }])
  })

  it('leaves what is wrong with a known one as it is', async () => {
    await using service = await startFake()

    const { body } = await service.http.get('/v1/batches?limit=x&label.%20=1')

    expect(body.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual(['/query/label. ', '/query/limit'])
  })
})
