import { describe, expect, it } from 'vitest'
import { hasPassed } from '../../src/http/loop.ts'
import { startFake } from '../support/fake-parts.ts'

describe('hasPassed', () => {
  it.each([
    'gatherd',
    'GatherD',
    ' gatherd ',
    'gatherd; v=1',
    'gatherd;v="1,2";w',
    'other, gatherd',
    'other;a="x\\",y" ,\tgatherd;b',
    'foo.example:8080, [::1]:80,gatherd',
    ',,gatherd',
    '"unfinished, gatherd',
  ])('finds the name in %j', (value) => {
    expect(hasPassed(value, 'gatherd')).toBe(true)
  })

  it.each([
    '',
    'other',
    'gatherd2',
    'not-gatherd',
    'gatherd.example',
    'gatherd:80',
    'other; gatherd',
    'other; via=gatherd',
    'other; via="gatherd"',
    'other; via="a, gatherd, b"',
    'other; via="\\", gatherd,"',
  ])('does not find it in %j', (value) => {
    expect(hasPassed(value, 'gatherd')).toBe(false)
  })
})

describe('a request that a gatherd has sent', () => {
  const loop = { 'cdn-loop': 'cdn.example; a="b,c", gatherd' }

  it('is refused under /v1, and nothing is done', async () => {
    await using service = await startFake()

    for (const request of [
      service.http.post('/v1/batches').send({ jobs: [] }),
      service.http.get('/v1/tenant'),
      service.http.head('/v1/batches'),
      service.admin.get('/v1/admin/tenants'),
      service.anybody.get('/v1/tenant'),
    ]) {
      const { status, headers, body } = await request.set(loop)
      expect([status, headers['content-type']]).toEqual([508, 'application/problem+json; charset=utf-8'])
      if (body.code !== undefined) expect(body).toMatchObject({ code: 'loop_detected', title: 'Loop detected' })
    }

    expect(service.engine.calls).toEqual([])
  })

  it('is refused if its header comes in parts', async () => {
    await using service = await startFake()

    const response = await service.http.get('/v1/tenant').set('cdn-loop', ['cdn.example', 'gatherd'] as never)

    expect(response.status).toBe(508)
  })

  it('is answered by what anybody may call', async () => {
    await using service = await startFake()

    for (const path of ['/livez', '/readyz', '/openapi.json', '/docs/'])
      expect([path, (await service.anybody.get(path).set(loop)).status]).toEqual([path, 200])
  })

  it('is welcome when others have sent it', async () => {
    await using service = await startFake()

    const response = await service.http.get('/v1/tenant').set('cdn-loop', 'cdn.example; via="gatherd"')

    expect(response.status).toBe(200)
  })
})
