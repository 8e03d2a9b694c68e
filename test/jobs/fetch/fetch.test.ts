import { describe, expect, it } from 'vitest'
import { LOCAL } from '../../egress/certificate.ts'
import { startOrigin } from '../../support/origin.ts'
import { ManualClock, startBench } from '../attempt.ts'

/** A FetchError that tells a tenant nothing about where it came from. */
const failed = (code: string) =>
  expect.objectContaining({
    type: 'FetchError',
    code,
    message: expect.not.stringMatching(/127\.0\.0\.1|localhost|E[A-Z]{4,}|http:/),
    result: null,
  })

/** As {@link failed}, after the head of the response: what there is of it is kept. */
const failedWith = (code: string, result: Record<string, unknown> = {}) =>
  expect.objectContaining({
    type: 'FetchError',
    code,
    message: expect.not.stringMatching(/127\.0\.0\.1|localhost|E[A-Z]{4,}|http:/),
    facts: { status: result.status ?? 200 },
    result: expect.objectContaining({
      status: 200,
      url: expect.any(String),
      redirects: expect.any(Array),
      headers: expect.objectContaining({ connection: 'keep-alive' }),
      body: null,
      bodyEncoding: null,
      bytes: 0,
      truncated: code === 'response_too_large',
      timing: expect.objectContaining({ totalMs: expect.any(Number) }),
      ...result,
    }),
  })

const notFound = Object.assign(new Error('getaddrinfo ENOTFOUND nowhere.test'), { code: 'ENOTFOUND' })

describe('fetch', () => {
  it('results in exactly what was answered', async () => {
    await using bench = await startBench()

    const result = await bench.get('/ok?body=hi&h.x-a=1&h.x-a=2&h.set-cookie=c', {}, { queuedMs: 2.34567 })

    expect(result).toEqual({
      status: 200,
      url: bench.origin.url('/ok?body=hi&h.x-a=1&h.x-a=2&h.set-cookie=c'),
      redirects: [],
      headers: expect.objectContaining({ 'x-a': '1, 2', 'set-cookie': ['c'], 'content-length': '2' }),
      body: 'hi',
      bodyEncoding: 'utf8',
      bytes: 2,
      truncated: false,
      timing: {
        queuedMs: 2.346,
        connectMs: expect.any(Number),
        firstByteMs: expect.any(Number),
        totalMs: expect.any(Number),
      },
    })
    expect(Object.getPrototypeOf(result.headers)).toBe(null)
  })

  it('keeps a header called __proto__ as a header', async () => {
    await using bench = await startBench()

    const { headers } = await bench.get('/ok?h.__proto__=x')

    expect(Object.entries(headers)).toContainEqual(['__proto__', 'x'])
  })

  it('takes its times from the clock, and 0 for a connection that was open', async () => {
    await using bench = await startBench()
    const clock = new ManualClock()
    const first = bench.get('/hold/a', {}, { clock })
    await bench.origin.whenHit('/hold/a')
    clock.advance(7.5)
    bench.origin.release('/hold/a')

    expect((await first).timing).toMatchObject({ firstByteMs: 7.5, totalMs: 7.5 })
    expect((await bench.get('/ok', {}, { clock })).timing).toEqual({
      queuedMs: 0,
      connectMs: 0,
      firstByteMs: 0,
      totalMs: 0,
    })
    expect(clock.armed).toBe(0)
  })

  describe('what it sends', () => {
    const echo = async (input: Record<string, unknown> = {}, own = {}) => {
      await using bench = await startBench()
      const { body } = await bench.get('/echo', { response: 'json', ...input }, own)
      return body as { method: string; headers: Record<string, string>; body: string }
    }

    it('has default headers', async () => {
      expect((await echo()).headers).toEqual({
        host: expect.any(String),
        connection: 'keep-alive',
        'user-agent': expect.stringMatching(/^gatherd\/\d+\.\d+\.\d+/),
        'accept-encoding': 'gzip, br, zstd',
        'cdn-loop': 'gatherd',
      })
    })

    it('has the headers of the job, whatever their case, in place of the defaults', async () => {
      const headers = {
        'User-Agent': 'me',
        'ACCEPT-ENCODING': 'identity',
        'CDN-Loop': 'other',
        Baggage: 'a=b',
        TraceParent: 'mine',
        'X-Y': '1',
      }
      const own = { context: { c: 'd' }, traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` }

      expect((await echo({ headers }, own)).headers).toMatchObject({
        'user-agent': 'me',
        'accept-encoding': 'identity',
        'cdn-loop': 'other, gatherd',
        baggage: 'a=b',
        traceparent: 'mine',
        'x-y': '1',
      })
    })

    it('carries the context as baggage, and a child of the trace', async () => {
      const { headers } = await echo(
        {},
        { context: { tenant: 'a c' }, traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` },
      )

      expect(headers.baggage).toBe('tenant=a%20c')
      expect(headers.traceparent).toMatch(/^00-1{32}-[0-9a-f]{16}-01$/)
    })

    it.each([
      [{ json: { a: ['ä'] } }, 'application/json', Buffer.from('{"a":["ä"]}')],
      [{ json: null }, 'application/json', Buffer.from('null')],
      [{ body: 'ä\u0000' }, 'text/plain;charset=utf-8', Buffer.from('ä\u0000')],
      [{ bodyBase64: '/wA=' }, undefined, Buffer.from([255, 0])],
      [{ json: 1, headers: { 'Content-Type': 'x/y' } }, 'x/y', Buffer.from('1')],
      [{ body: '' }, 'text/plain;charset=utf-8', Buffer.alloc(0)],
      [{}, undefined, Buffer.alloc(0)],
    ])('sends the body of %j', async (input, type, expected) => {
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
        const seen = await echo({ method, ...input })
        expect([seen.method, seen.headers['content-type'], seen.body]).toEqual([
          method,
          type,
          expected.toString('latin1'),
        ])
      }
    })
  })

  describe('what it keeps', () => {
    it('is base64 when the body is not UTF-8', async () => {
      await using bench = await startBench()
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

      expect(await bench.get('/binary')).toMatchObject({
        body: bytes.toString('base64'),
        bodyEncoding: 'base64',
        bytes: 256,
      })
    })

    it('is the value of JSON', async () => {
      await using bench = await startBench()

      expect(await bench.get('/json', { response: 'json' })).toMatchObject({
        body: { a: 1 },
        bodyEncoding: 'json',
        bytes: 7,
      })
    })

    it('is no JSON where there is no body by definition', async () => {
      await using bench = await startBench()
      const nothing = { body: null, bodyEncoding: null, bytes: 0 }

      expect(await bench.get('/json', { method: 'HEAD', response: 'json' })).toMatchObject(nothing)
      expect(await bench.get('/ok?status=204&body=', { response: 'json' })).toMatchObject(nothing)
    })

    it.each(['', '{"a":', 'secret text'])('fails with decode_failed when %j should be JSON', async (text) => {
      await using bench = await startBench()

      const error = await bench.failure(`/json?text=${encodeURIComponent(text)}`, { response: 'json' })

      expect(error).toEqual(
        failedWith('decode_failed', { body: text, bodyEncoding: 'utf8', bytes: Buffer.byteLength(text) }),
      )
      expect(error).toHaveProperty('message', 'The response body is not valid JSON.')
    })

    it('is the head alone, or nothing, and the connection stays when the body came along', async () => {
      await using bench = await startBench()

      const head = await bench.get('/ok?h.x-a=1', { response: 'head' })
      const none = await bench.get('/ok?h.x-a=1', { response: 'none' })

      expect(head).toMatchObject({ body: null, bodyEncoding: null, bytes: 0, headers: { 'x-a': '1' } })
      expect(none).toMatchObject({ status: 200, body: null, bodyEncoding: null, bytes: 0, headers: {} })
      expect(Object.keys(none.headers)).toEqual([])
      expect(bench.origin.sockets.length).toBe(1)
    })

    it.each(['head', 'none'])('does not wait for a body with response %s, nor fail for its size', async (response) => {
      await using bench = await startBench()

      expect((await bench.get('/half/a', { response, maxResponseBytes: 0 })).status).toBe(200)
      expect(bench.egress.stats.open).toBe(0)
      await bench.origin.whenClosed('/half/a')
    })
  })

  describe('codings', () => {
    it.each(['/gzip', '/x-gzip', '/deflate', '/raw-deflate', '/br', '/zstd', '/twofold'])('undoes %s', async (path) => {
      await using bench = await startBench()

      expect(await bench.get(`${path}?body=h%C3%A4`)).toMatchObject({ body: 'hä', bytes: 3 })
      expect((await bench.get('/ok')).timing.connectMs).toBe(0)
    })

    it('leaves a coding that it does not know', async () => {
      await using bench = await startBench()

      expect(await bench.get('/unknown-coding')).toMatchObject({
        body: 'hello',
        headers: { 'content-encoding': 'rot13' },
      })
    })

    it.each(['/threefold', '/bad-gzip?how=garbage', '/bad-gzip?how=cut'])(
      'fails with decode_failed for %s',
      async (path) => {
        await using bench = await startBench()

        expect(await bench.failure(path)).toEqual(failedWith('decode_failed'))
      },
    )

    it('has none where there is no body', async () => {
      await using bench = await startBench()

      expect(await bench.get('/gzip', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' })
    })
  })

  describe('caps', () => {
    it.each(['', '&chunked=1'])(
      'fails with response_too_large one byte over maxResponseBytes (%s)',
      async (chunked) => {
        await using bench = await startBench()

        expect((await bench.get(`/big?bytes=1000${chunked}`, { maxResponseBytes: 1_000 })).bytes).toBe(1_000)
        expect(await bench.failure(`/big?bytes=1001${chunked}`, { maxResponseBytes: 1_000 })).toEqual(
          failedWith('response_too_large'),
        )
        expect(bench.egress.stats.open).toBe(0)
      },
    )

    it('does not wait for a body that announces too much', async () => {
      await using bench = await startBench({ limits: { maxWireBytes: 7 } })

      expect(await bench.failure('/half/a')).toEqual(failedWith('response_too_large'))
      expect(await bench.failure('/half/b', { maxResponseBytes: 7 })).toEqual(failedWith('response_too_large'))
    })

    it('allows an empty body under a maxResponseBytes of 0', async () => {
      await using bench = await startBench()

      expect((await bench.get('/ok?body=', { maxResponseBytes: 0 })).bytes).toBe(0)
      expect(await bench.failure('/ok', { maxResponseBytes: 0 })).toEqual(failedWith('response_too_large'))
    })

    it.each(['/gzip', '/deflate', '/br', '/zstd', '/twofold'])('counts what %s becomes', async (path) => {
      await using bench = await startBench()

      expect((await bench.get(`${path}?of=100000`, { maxResponseBytes: 100_000 })).bytes).toBe(100_000)
      expect(await bench.failure(`${path}?of=100001`, { maxResponseBytes: 100_000 })).toEqual(
        failedWith('response_too_large'),
      )
    })

    it('stops a bomb long before it has gone off', async () => {
      await using bench = await startBench()
      const before = process.memoryUsage().rss

      expect(await bench.failure('/bomb')).toEqual(failedWith('response_too_large'))

      // 100 MiB would be decoded; the origin itself needed them to make the bomb, so only what came on top counts.
      expect(process.memoryUsage().rss - before).toBeLessThan(300 << 20)
    })

    it('has one budget for the wire bytes of all hops', async () => {
      await using bench = await startBench({ limits: { maxWireBytes: 100 } })
      const first = encodeURIComponent(`/ok?body=${'x'.repeat(60)}`)

      expect((await bench.get(`/redirect?to=${first}&body=${'y'.repeat(40)}`)).bytes).toBe(60)
      expect(await bench.failure(`/redirect?to=${first}&body=${'y'.repeat(41)}`)).toEqual(
        failedWith('response_too_large'),
      )
      expect(await bench.failure('/big?bytes=101&chunked=1')).toEqual(failedWith('response_too_large'))
    })

    it.each(['head', 'none'])('are no matter with response %s', async (response) => {
      await using bench = await startBench({ limits: { maxWireBytes: 10 } })

      expect((await bench.get('/big?bytes=50', { response })).status).toBe(200)
      expect((await bench.get('/big?bytes=50&chunked=1', { response })).status).toBe(200)
    })

    it.each(['/headers?lines=200', '/headers?bytes=17000'])('fails with bad_response for %s', async (path) => {
      await using bench = await startBench()

      expect(await bench.failure(path)).toEqual(failed('bad_response'))
    })

    it('takes headers up to their caps', async () => {
      await using bench = await startBench()

      expect((await bench.get('/headers?lines=120&bytes=100')).status).toBe(200)
    })
  })

  describe('statuses', () => {
    it('fails with http_status for what is not listed, and keeps the response', async () => {
      await using bench = await startBench()

      expect(await bench.failure('/fail')).toMatchObject({
        type: 'HTTPStatusError',
        code: 'http_status',
        message: 'The response has status 500.',
        facts: { status: 500 },
        result: { status: 500, body: 'failed', bodyEncoding: 'utf8', bytes: 6 },
      })
    })

    it('succeeds with what is listed', async () => {
      await using bench = await startBench()

      expect((await bench.get('/fail', { okStatus: ['2xx', 500] })).status).toBe(500)
      expect(await bench.failure('/ok', { okStatus: ['5xx'] })).toMatchObject({ code: 'http_status' })
    })

    it('keeps the page of an error as text where JSON was wanted', async () => {
      await using bench = await startBench()

      expect(await bench.failure('/fail', { response: 'json' })).toMatchObject({
        code: 'http_status',
        result: { body: 'failed' },
      })
      expect(await bench.failure('/json', { response: 'json', okStatus: [201] })).toMatchObject({
        result: { body: { a: 1 } },
      })
    })
  })

  describe('redirects', () => {
    const to = (path: string, status = 302) => `/redirect?status=${status}&to=${encodeURIComponent(path)}`

    it('are followed, and listed in order', async () => {
      await using bench = await startBench()

      const result = await bench.get(to(to('/ok', 307), 301))

      expect(result).toMatchObject({
        status: 200,
        url: bench.origin.url('/ok'),
        redirects: [
          { status: 301, url: bench.origin.url(to(to('/ok', 307), 301)) },
          { status: 307, url: bench.origin.url(to('/ok', 307)) },
        ],
      })
      expect(bench.origin.sockets.length).toBe(1)
    })

    it('are the result themselves with redirects 0, without Location, and as 304', async () => {
      await using bench = await startBench()

      expect(await bench.get(to('/ok'), { redirects: 0 })).toMatchObject({ status: 302, body: 'moved', redirects: [] })
      expect(await bench.get('/ok?status=302')).toMatchObject({ status: 302, body: 'ok' })
      expect((await bench.get('/ok?status=304&h.location=/x')).status).toBe(304)
    })

    it('are followed up to the limit, not beyond', async () => {
      await using bench = await startBench()

      expect((await bench.get(to(to('/ok')), { redirects: 2 })).status).toBe(200)
      expect(await bench.failure(to(to('/ok')), { redirects: 1 })).toEqual(failed('too_many_redirects'))
      expect(await bench.failure('/loop')).toMatchObject({ facts: { redirects: 5 } })
      expect(bench.origin.hitsOf('/loop')).toBe(6)
    })

    it('do not wait for the body of a redirect', async () => {
      await using bench = await startBench()

      expect((await bench.get('/half/r?status=302&h.location=/ok')).status).toBe(200)
      await bench.origin.whenClosed('/half/r')
    })

    it('change the method, and drop the body', async () => {
      await using bench = await startBench()

      await bench.get(to('/echo', 303), { method: 'POST', json: 1 })
      await bench.get(to('/echo', 307), { method: 'POST', json: 1 })

      const seen = bench.origin.hits.filter(({ path }) => path === '/echo')
      expect(seen.map(({ method, body, headers }) => [method, body.toString(), headers['content-type']])).toEqual([
        ['GET', '', undefined],
        ['POST', '1', 'application/json'],
      ])
    })

    it('take no secrets, context or trace to another origin', async () => {
      await using bench = await startBench()
      await using other = await startOrigin()
      const headers = {
        authorization: 'secret',
        cookie: 'secret',
        'x-api-key': 'secret',
        accept: 'a/b',
        range: 'bytes=0-',
      }
      const own = { context: { c: 'secret' }, traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` }

      await bench.get(to(other.url('/echo')), { headers }, own)

      expect(other.hits[0]?.headers).toEqual({
        host: `127.0.0.1:${other.port}`,
        connection: 'keep-alive',
        accept: 'a/b',
        range: 'bytes=0-',
        'accept-encoding': 'gzip, br, zstd',
        'user-agent': expect.any(String),
        'cdn-loop': 'gatherd',
      })
    })

    it('fail with bad_redirect where a fetch does not go, before anything is sent there', async () => {
      await using bench = await startBench()
      await using other = await startOrigin()

      expect(await bench.failure(to(other.url('/echo'), 307), { method: 'POST', body: 'b' })).toEqual(
        failed('bad_redirect'),
      )
      expect(await bench.failure(to('file:///etc/passwd'))).toMatchObject({ code: 'egress_denied' })
      expect(await bench.failure(to('http://u:p@127.0.0.1/'))).toEqual(failed('bad_redirect'))

      expect(other.sockets.length).toBe(0)
    })

    it('do not leave https', async () => {
      await using bench = await startBench({ tls: LOCAL, egress: { ca: [LOCAL.cert] } })
      await using other = await startOrigin()

      expect(await bench.failure(to(other.url('/ok')))).toEqual(failed('bad_redirect'))
      expect((await bench.get(to('/ok'))).status).toBe(200)
      expect(other.sockets.length).toBe(0)
    })
  })

  describe('connections that break', () => {
    it.each(['before', 'headers', 'body', 'chunked', 'endless', 'short'])(
      'end with connection_lost: %s',
      async (how) => {
        await using bench = await startBench()

        expect(await bench.failure(`/reset?how=${how}`)).toEqual(failed('connection_lost'))
        expect(bench.egress.stats.open).toBe(0)
      },
    )

    it('end with bad_response in the body, and keep the head', async () => {
      await using bench = await startBench()

      expect(await bench.failure('/malformed?how=chunk')).toMatchObject({
        code: 'bad_response',
        facts: { status: 200 },
        result: { status: 200, body: null, bodyEncoding: null, truncated: false },
      })
      expect(bench.egress.stats.open).toBe(0)
    })

    it.each(['status', 'header', 'lengths', 'upgrade', 'continue', 'http09'])(
      'end with bad_response: %s',
      async (how) => {
        await using bench = await startBench()

        expect(await bench.failure(`/malformed?how=${how}`)).toEqual(failed('bad_response'))
        expect(bench.egress.stats.open).toBe(0)
      },
    )

    it('are complete where only their end delimits the body', async () => {
      await using bench = await startBench()

      expect((await bench.get('/malformed?how=eof')).body).toBe('all')
      await bench.origin.whenIdle()
      expect(bench.egress.stats.idle).toBe(0)
    })

    it('never take the second of two answers for the answer to another request', async () => {
      await using bench = await startBench()

      expect((await bench.get('/malformed?how=twice')).body).toBe('ok')
      expect((await bench.get('/ok?body=mine')).body).toBe('mine')
    })

    it.each([
      ['connect_failed', 'refused', 'http://127.0.0.1:8/', undefined],
      ['tls_failed', 'not_tls', null, undefined],
      ['dns_failed', 'not_found', 'http://nowhere.test/', () => Promise.reject(notFound)],
    ])('are not there: %s, %s', async (code, reason, url, resolve) => {
      await using bench = await startBench({ egress: { resolve } })
      const target = url ?? bench.origin.url().replace('http:', 'https:')

      const error = await bench.run({ url: target }).catch((thrown: unknown) => thrown)

      expect(error).toEqual(failed(code))
      expect(error).toHaveProperty('facts', { reason })
    })

    it('take too long to make: connect_timeout', async () => {
      const clock = new ManualClock()
      await using bench = await startBench({ egress: { clock, resolve: () => new Promise(() => undefined) } })

      const late = expect(bench.run({ url: 'http://slow.test/' })).rejects.toEqual(failed('connect_timeout'))
      clock.advance(5_000)

      await late
    })

    it.each(['/hang', '/hints'])('end with connection_lost when no headers come in time: %s', async (path) => {
      await using bench = await startBench()
      const clock = new ManualClock()

      const late = bench.failure(path, {}, { clock })
      await bench.origin.whenHit(path)
      clock.advance(14_999)
      expect(bench.egress.stats.open).toBe(1)
      clock.advance(1)

      expect(await late).toEqual(failed('connection_lost'))
      await bench.origin.whenClosed(path)
    })

    it('have all the time of the job for the body', async () => {
      await using bench = await startBench()
      const clock = new ManualClock()

      const slow = bench.get('/half/b', {}, { clock })
      await bench.origin.whenHit('/half/b')
      while (clock.armed > 0) await new Promise(setImmediate)
      clock.advance(60_000)
      bench.origin.release('/half/b')

      expect((await slow).body).toBe('halfhalf')
    })
  })

  describe('an idle connection that the server closes as we send', () => {
    /** Make the origin reset the next request of the only connection, as a server does whose keep-alive ran out. */
    const prepare = async (bench: Awaited<ReturnType<typeof startBench>>) => {
      await bench.get('/ok')
      expect(bench.egress.stats.idle).toBe(1)
    }

    it.each(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])('is replaced once for %s', async (method) => {
      await using bench = await startBench()
      await prepare(bench)

      expect((await bench.get('/stale', { method })).status).toBe(200)

      expect(bench.origin.hitsOf('/stale')).toBe(2)
      expect(bench.origin.sockets.length).toBe(2)
    })

    it.each(['POST', 'PATCH'])('is connection_lost for %s, which is never sent twice', async (method) => {
      await using bench = await startBench()
      await prepare(bench)

      expect(await bench.failure('/stale', { method })).toEqual(failed('connection_lost'))
      expect(bench.origin.hitsOf('/stale')).toBe(1)
    })

    it('is replaced by a new one, not by another idle one', async () => {
      await using bench = await startBench()
      const both = ['/hold/a', '/hold/b'].map((path) => bench.get(path))
      for (const path of ['/hold/a', '/hold/b']) {
        await bench.origin.whenHit(path)
        bench.origin.release(path)
      }
      await Promise.all(both)

      expect((await bench.get('/stale')).status).toBe(200)
      expect([bench.origin.sockets.length, bench.origin.hitsOf('/stale')]).toEqual([3, 2])
    })

    it('is not replaced a second time, nor when it was new', async () => {
      await using bench = await startBench()

      expect(await bench.failure('/reset')).toEqual(failed('connection_lost'))
      expect(bench.origin.hitsOf('/reset')).toBe(1)
      await prepare(bench)
      expect(await bench.failure('/reset')).toEqual(failed('connection_lost'))
      expect(bench.origin.hitsOf('/reset')).toBe(3)
    })

    it('is not replaced once an answer has begun', async () => {
      await using bench = await startBench()
      await prepare(bench)

      expect(await bench.failure('/reset?how=headers')).toEqual(failed('connection_lost'))
      expect(bench.origin.hitsOf('/reset')).toBe(1)
    })
  })

  describe('as a kind', () => {
    it('counts its host under one spelling', async () => {
      await using bench = await startBench()
      const hostOf = (url: string) => bench.kind.hostOf?.({ kind: 'fetch', ...bench.kind.spec.parse({ url }) } as never)

      expect([hostOf('https://API.Example.com./x'), hostOf('http://a.test:80')]).toEqual([
        'api.example.com:443',
        'a.test:80',
      ])
    })

    it.each([
      ['GET', 'retry'],
      ['HEAD', 'retry'],
      ['PUT', 'retry'],
      ['DELETE', 'retry'],
      ['OPTIONS', 'retry'],
      ['POST', 'fail'],
      ['PATCH', 'fail'],
    ])('treats an interrupted %s as %s', async (method, expected) => {
      await using bench = await startBench()

      expect(
        bench.kind.onRestart?.({ kind: 'fetch', ...bench.kind.spec.parse({ url: 'http://a.test', method }) } as never),
      ).toBe(expected)
    })
  })
})
