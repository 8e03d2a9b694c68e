import { describe, expect, it } from 'vitest'
import { newBatch } from '../../src/core/batch.ts'
import { factsOf, stateName } from '../../src/core/facts.ts'
import { step } from '../../src/core/step.ts'
import type { BatchSubmission } from '../../src/engine/engine.ts'
import { headerOf, liveView, rowView } from '../../src/engine/views.ts'

const AT = Date.UTC(2026, 0, 2, 3, 4, 5, 678) + 0.9
const STAMP = '2026-01-02T03:04:05.678Z'
const LATER = '2026-01-02T03:04:06.678Z'
const ID = '00000000-0000-7000-8000-000000000001'

const SUBMISSION: BatchSubmission = {
  policy: 'task_group',
  name: 'nightly',
  labels: { env: 'prod' },
  timeoutMs: 5_000,
  maxConcurrency: 2,
  open: true,
  context: { trace: 'x' },
  n: null,
  hedgeDelayMs: null,
  jobs: [{ kind: 'sleep' }, { kind: 'sleep' }],
  traceparent: '00-secret-of-ours',
}

function accepted() {
  const batch = newBatch(SUBMISSION)
  step(batch, { type: 'accepted', jobs: [{}, {}] }, AT)
  return batch
}

describe('headerOf', () => {
  it('is all of a submission that never changes', () => {
    const header = headerOf(SUBMISSION)

    expect(header).not.toHaveProperty('jobs')
    expect(header).not.toHaveProperty('open')
    expect({ ...header, jobs: SUBMISSION.jobs, open: true }).toEqual(SUBMISSION)
  })
})

describe('liveView', () => {
  it('shows a batch as it is now, with every field, and not the traceparent', () => {
    expect(liveView(ID, headerOf(SUBMISSION), accepted())).toEqual({
      id: ID,
      policy: 'task_group',
      state: 'running',
      name: 'nightly',
      labels: { env: 'prod' },
      open: true,
      n: null,
      hedgeDelayMs: null,
      timeoutMs: 5_000,
      maxConcurrency: 2,
      context: { trace: 'x' },
      counts: { total: 2, queued: 2, running: 0, cancelling: 0, succeeded: 0, failed: 0, timed_out: 0, cancelled: 0 },
      acceptedAt: STAMP,
      settledAt: null,
      drainedAt: null,
      seq: 3,
      winner: null,
      error: null,
      cancel: null,
      links: {
        self: `/v1/batches/${ID}`,
        jobs: `/v1/batches/${ID}/jobs`,
        events: `/v1/batches/${ID}/events`,
        cancel: `/v1/batches/${ID}/cancel`,
      },
    })
  })

  it('names the job behind an error, and counts each state', () => {
    const batch = accepted()
    step(batch, { type: 'granted', index: 1 }, AT)
    step(batch, { type: 'granted', index: 0 }, AT)
    step(batch, { type: 'threw', index: 1, error: { type: 'E', code: 'c', message: 'm' } }, AT + 1_000)
    expect(liveView(ID, headerOf(SUBMISSION), batch)).toMatchObject({
      state: 'aborting',
      counts: { total: 2, cancelling: 1, failed: 1 },
    })
    step(batch, { type: 'unwound', index: 0 }, AT + 1_000)

    expect(liveView(ID, headerOf(SUBMISSION), batch)).toMatchObject({
      state: 'failed',
      open: false,
      settledAt: LATER,
      drainedAt: LATER,
      counts: { total: 2, running: 0, cancelling: 0, failed: 1, cancelled: 1 },
      error: {
        type: 'ExceptionGroup',
        errors: [{ jobId: `${ID}-1`, index: 1, type: 'E', code: 'c', message: 'm' }],
      },
    })
  })

  it('shows a cancel with its first reason and when it was asked for', () => {
    const batch = accepted()
    step(batch, { type: 'granted', index: 0 }, AT)
    step(batch, { type: 'cancelBatch', reason: 'enough' }, AT + 1_000)
    step(batch, { type: 'cancelBatch', reason: 'really' }, AT + 2_000)

    expect(liveView(ID, headerOf(SUBMISSION), batch).cancel).toEqual({ reason: 'enough', at: LATER })
  })
})

describe('rowView', () => {
  it('of what was written is the view of what was in memory', () => {
    const batch = accepted()
    const header = headerOf(SUBMISSION)
    step(batch, { type: 'granted', index: 0 }, AT)
    step(batch, { type: 'returned', index: 0 }, AT + 1)
    step(batch, { type: 'stop' }, AT + 2)
    const { seq, settledAt, drainedAt } = batch
    const facts = factsOf(batch)
    const at = { seq, settledAt, drainedAt, acceptedAt: AT }

    const row = { no: 1, id: ID, tenantId: 'acme', state: stateName(facts), ...at }
    const view = rowView({ ...row, header: JSON.stringify(header), facts: JSON.stringify(facts) })

    expect(view).toEqual(liveView(ID, header, batch))
    expect(view.state).toBe('succeeded')
  })
})
