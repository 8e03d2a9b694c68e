import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { startFake } from '../support/fake-parts.ts'
import { startService } from '../support/service.ts'

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** The browser: what CI found or installed, or the usual place; without one the test that needs it is skipped. */
const CHROMIUM = process.env.GATHERD_TEST_CHROMIUM ?? '/usr/bin/chromium'

/** A browser with a fresh profile; let it go with `await using`. */
async function startBrowser(): Promise<BrowserContext & AsyncDisposable> {
  const profile = await mkdtemp(join(tmpdir(), 'gatherd-docs-'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    headless: true,
    args: FLAGS,
  })
  return Object.assign(context, {
    async [Symbol.asyncDispose]() {
      await context.close()
      await rm(profile, { recursive: true, force: true })
    },
  })
}

describe('/docs', () => {
  it.skipIf(!existsSync(CHROMIUM))(
    'runs a real batch with Authorize and Try it out, and loads nothing from elsewhere',
    async () => {
      await using service = await startService()
      await using browser = await startBrowser()
      const page = await browser.newPage()
      const foreign: string[] = []
      const complaints: string[] = []
      page.on('request', (request) => {
        if (!request.url().startsWith(service.url) && !request.url().startsWith('data:')) foreign.push(request.url())
      })
      page.on('console', (message) => {
        if (message.type() === 'error') complaints.push(message.text())
      })

      await page.goto(`${service.url}/docs`)
      await page.locator('button.authorize').first().click()
      await page.locator('.modal-ux input').fill(service.me.key)
      await page.locator('.modal-ux button.authorize').click()
      await page.locator('.modal-ux button.btn-done').click()
      const submit = page.locator('#operations-batches-createBatch')
      await submit.locator('.opblock-summary-control').click()
      await submit.locator('textarea.body-param__text').fill('{"jobs":[{"kind":"sleep","durationMs":1,"result":"hi"}]}')
      await submit.locator('button.execute').click()
      const status = await submit.locator('.live-responses-table .response-col_status').last().textContent()

      expect(status).toContain('202')
      const { body } = await service.me.http.get('/v1/batches')
      service.me.track(body.data[0].id)
      expect((await service.me.drained(body.data[0].id)).jobs).toMatchObject([{ state: 'succeeded', result: 'hi' }])
      expect(foreign).toEqual([])
      expect(complaints).toEqual([])
    },
    60_000,
  )
})

describe('GET /openapi.json', () => {
  it('is the document that /openapi.yaml is', async () => {
    await using service = await startFake()

    const json = await service.anybody.get('/openapi.json')
    const yaml = await service.anybody.get('/openapi.yaml')

    expect(json.status).toBe(200)
    expect(yaml.headers['content-type']).toBe('application/yaml; charset=utf-8')
    expect(parse(yaml.text)).toEqual(json.body)
  })

  it('says of each route who may call it, what it does and how it fails', async () => {
    await using service = await startFake()

    const { body } = await service.anybody.get('/openapi.json')

    for (const [path, item] of Object.entries<Record<string, Record<string, unknown>>>(body.paths)) {
      for (const operation of Object.values(item)) {
        expect(operation).toMatchObject({
          operationId: expect.any(String),
          summary: expect.any(String),
          description: expect.any(String),
          tags: [expect.any(String)],
        })
        if (path.startsWith('/v1'))
          expect(operation).toMatchObject({ security: [{ key: [] }], responses: { 401: {}, 403: {}, 500: {} } })
      }
    }
  })

  it('refers to components that are there, and has none that nobody refers to', async () => {
    await using service = await startFake()

    const { text, body } = await service.anybody.get('/openapi.json')

    const referred = new Set([...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map((match) => match[1]))
    expect(Object.keys(body.components.schemas).sort()).toEqual([...referred].sort())
  })

  it('shows the kinds of this service, and its limits', async () => {
    await using service = await startFake({ env: { GATHERD_MAX_BATCH_JOBS: '7', GATHERD_MAX_WAIT_MS: '5000' } })

    const { body } = await service.anybody.get('/openapi.json')

    const { schemas } = body.components
    expect(Object.keys(schemas)).toEqual(expect.arrayContaining(['FetchJob', 'SleepJob']))
    expect(schemas.BatchSubmission.properties.jobs.maxItems).toBe(7)
    const wait = body.paths['/v1/batches/{batchId}/wait'].get.parameters
    expect(wait).toContainEqual(
      expect.objectContaining({ name: 'timeoutMs', schema: expect.objectContaining({ maximum: 5_000 }) }),
    )
  })

  it('has an example for each policy that the service accepts', async () => {
    await using service = await startFake()
    const { body } = await service.anybody.get('/openapi.json')
    const media = body.paths['/v1/batches'].post.requestBody.content['application/json']

    for (const [name, { value }] of Object.entries<{ value: object }>(media.examples)) {
      const response = await service.http.post('/v1/batches').send(value)
      expect([name, response.status]).toEqual([name, 202])
    }

    const policies = body.components.schemas.BatchSubmission.properties.policy.enum
    expect(Object.keys(media.examples)).toEqual(expect.arrayContaining(policies))
  })

  it('does not require a body where none is needed', async () => {
    await using service = await startFake()

    const { body } = await service.anybody.get('/openapi.json')

    const bodyOf = (path: string) => body.paths[path].post.requestBody.required
    expect(bodyOf('/v1/batches/{batchId}/cancel')).toBe(false)
    expect(bodyOf('/v1/batches/{batchId}/stop')).toBe(false)
    expect(bodyOf('/v1/batches')).toBe(true)
  })
})
