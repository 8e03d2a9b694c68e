import { request } from 'node:http'
import { describe, expect, it } from 'vitest'
import { MetricsListener } from '../../src/metrics/listener.ts'
import { Metrics } from '../../src/metrics/metrics.ts'

/** A listener over metrics of one series; let it go with `await using`. */
async function start({ host = '127.0.0.1', isBroken = false } = {}) {
  const metrics = new Metrics()
  metrics.add(() => {
    if (isBroken) throw new Error('secret')
    return [['gatherd_jobs_queued', { kind: 'fetch' }, 7]]
  })
  const listener = await MetricsListener.open(metrics, { host, port: 0 })
  return { listener, [Symbol.asyncDispose]: () => listener.close() }
}

/** Ask it something, over a connection of its own. */
function ask(url: string, { method = 'GET', ...headers }: Record<string, string> = {}) {
  return new Promise<{ status: number; type: string; text: string; allow: unknown }>((resolve, reject) => {
    const sent = request(url, { method, headers, agent: false }, async (answer) => {
      const text = (await answer.setEncoding('utf8').toArray()).join('')
      const { allow, 'content-type': type = '' } = answer.headers
      resolve({ status: answer.statusCode ?? 0, type, text, allow })
    })
    sent.once('error', reject).end()
  })
}

describe('MetricsListener', () => {
  it('shows the metrics to whoever asks, without a key', async () => {
    await using started = await start()

    const { status, type, text } = await ask(started.listener.url)

    expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8'])
    expect(text).toContain('gatherd_jobs_queued{kind="fetch"} 7\n')
  })

  it('answers in the format that is wanted', async () => {
    await using started = await start()
    const { url } = started.listener

    expect((await ask(url, { accept: 'application/openmetrics-text' })).text).toMatch(/# EOF\n$/)
    expect((await ask(url, { accept: 'image/png' })).status).toBe(406)
  })

  it('has nothing else', async () => {
    await using started = await start()
    const { url } = started.listener

    const statuses = []
    for (const path of ['', '/v1/batches', '/metrics/x', '/readyz'])
      statuses.push((await ask(url.replace('/metrics', path))).status)

    expect(statuses).toEqual([404, 404, 404, 404])
    expect((await ask(`${url}?name=x`)).status).toBe(200)
  })

  it('takes GET and HEAD', async () => {
    await using started = await start()
    const { url } = started.listener

    expect(await ask(url, { method: 'POST' })).toMatchObject({ status: 405, allow: 'GET, HEAD' })
    expect(await ask(url, { method: 'HEAD' })).toMatchObject({ status: 200, text: '' })
  })

  it.each(['evil.test', 'evil.test:80', '10.0.0.7'])(
    'on loopback gives a page under the name %j nothing',
    async (host) => {
      await using started = await start()

      expect((await ask(started.listener.url, { host })).status).toBe(403)
    },
  )

  it.each(['localhost', 'localhost:9464', '127.0.0.1', '[::1]:1'])('on loopback answers to %s', async (host) => {
    await using started = await start()

    expect((await ask(started.listener.url, { host })).status).toBe(200)
  })

  it('elsewhere answers to whatever name it has there', async () => {
    await using started = await start({ host: '0.0.0.0' })
    const url = started.listener.url.replace('0.0.0.0', '127.0.0.1')

    expect((await ask(url, { host: 'gatherd-5f7.monitoring.svc' })).status).toBe(200)
  })

  it('says nothing of what went wrong', async () => {
    await using started = await start({ isBroken: true })

    const { status, text } = await ask(started.listener.url)

    expect(status).toBe(500)
    expect(text).not.toContain('secret')
  })

  it('fails with Node’s own error where the port is taken, and closes twice', async () => {
    await using started = await start()
    const port = Number(new URL(started.listener.url).port)

    await expect(MetricsListener.open(new Metrics(), { host: '127.0.0.1', port })).rejects.toMatchObject({
      code: 'EADDRINUSE',
    })
    await started.listener.close()
  })
})
