import { describe, expect, it } from 'vitest'
import type { z } from 'zod'
import { PROBLEMS } from '../../src/http/problem.ts'
import { AdminTenantView, KeyView, NewKeyView } from '../../src/schema/admin.ts'
import { COMPONENT_EXAMPLES, POLICY_EXAMPLES } from '../../src/schema/examples.ts'
import { RescheduleBody } from '../../src/schema/requests.ts'
import { ValidationView } from '../../src/schema/validation.ts'
import * as views from '../../src/schema/views.ts'
import { startFake } from '../support/fake-parts.ts'

/** The schemas that the examples are of; those of job submissions are of one service, and tried on it. */
const SCHEMAS: Record<string, z.ZodType> = {
  AdminTenant: AdminTenantView,
  Batch: views.BatchView,
  BatchError: views.BatchError,
  BatchWithJobs: views.BatchWithJobs,
  CancelledBatch: views.CancelledBatch,
  CancelledJob: views.CancelledJob,
  Event: views.Event,
  Job: views.JobView,
  JobError: views.JobError,
  Key: KeyView,
  NewKey: NewKeyView,
  Reschedule: RescheduleBody,
  Tenant: views.TenantView,
  Validation: ValidationView,
  WaitResult: views.WaitResult,
}

/** What the tests look at of an operation. */
interface Operation {
  responses: Record<string, { content?: Record<string, { examples?: Record<string, { $ref: string }> }> }>
}

async function documentOf() {
  await using service = await startFake()
  const { body, text } = await service.anybody.get('/openapi.json')
  return { body, text }
}

describe('the OpenAPI document', () => {
  it('names no bound that is only the largest safe integer', async () => {
    const { text } = await documentOf()

    expect(text).not.toContain(String(Number.MAX_SAFE_INTEGER))
  })

  it('keeps the bounds that are ours', async () => {
    const { body } = await documentOf()

    expect(body.components.schemas.Batch.properties.seq.minimum).toBe(0)
    expect(body.components.schemas.SleepJob.properties.priority).toMatchObject({ minimum: -1_000, maximum: 1_000 })
  })

  it.each(Object.entries(SCHEMAS))('has an example of %s that is one', async (id, schema) => {
    expect(schema.safeParse(COMPONENT_EXAMPLES[id]).error).toBe(undefined)
  })

  it('shows each example in its component', async () => {
    const { body } = await documentOf()

    for (const [id, example] of Object.entries(COMPONENT_EXAMPLES))
      expect([id, body.components.schemas[id]?.examples]).toEqual([id, [example]])
  })

  it('shows for each problem its own status, code and title', async () => {
    const { body } = await documentOf()
    const answers = Object.values<Record<string, Operation>>(body.paths).flatMap((path) =>
      Object.values(path).flatMap(({ responses }) => Object.entries(responses)),
    )

    for (const [status, { content }] of answers.filter(([status]) => Number(status) >= 400)) {
      const examples = Object.entries(content?.['application/problem+json']?.examples ?? {})
      expect([status, examples.length]).not.toEqual([status, 0])
      for (const [code, { $ref }] of examples) {
        const { value } = body.components.examples[$ref.slice('#/components/examples/'.length)]
        const [itsStatus, title] = PROBLEMS[code] ?? []
        expect(views.ProblemView.parse(value)).toMatchObject({ code, title, status: itsStatus })
        expect(String(itsStatus)).toBe(status)
      }
    }
  })

  it('shows how to ask for a key, in a way that is accepted', async () => {
    await using service = await startFake()
    const { body } = await service.anybody.get('/openapi.json')
    const path = '/v1/admin/tenants/{tenantId}/keys'

    const { example } = body.paths[path].post.requestBody.content['application/json']
    const response = await service.admin.post(path.replace('{tenantId}', 'default')).send(example)

    expect(response.status).toBe(201)
  })

  it('shows an open batch by itself, and policies on closed ones', () => {
    const open = Object.entries(POLICY_EXAMPLES).filter(([, { value }]) => (value as { open?: boolean }).open)

    expect(open.map(([name]) => name)).toEqual(['open_batch'])
  })

  it('shows the headers with the limits in what is granted to a tenant and what is too much, and nowhere else', async () => {
    const { body } = await documentOf()
    const ref = (name: string) => ({ $ref: `#/components/headers/${name}` })
    const limits = { 'RateLimit-Policy': ref('RateLimit-Policy'), RateLimit: ref('RateLimit') }

    expect(Object.keys(body.components.headers)).toEqual(Object.keys(limits))
    const { responses } = body.paths['/v1/batches'].post
    for (const status of ['200', '202', '429']) expect(responses[status].headers).toMatchObject(limits)
    expect(Object.keys(responses['429'].headers)).toContain('Retry-After')
    for (const status of ['401', '403', '508']) expect(responses[status].headers?.RateLimit).toBe(undefined)
    for (const path of ['/v1/admin/tenants', '/livez'])
      expect(JSON.stringify(body.paths[path].get)).not.toContain('RateLimit')
  })
})
