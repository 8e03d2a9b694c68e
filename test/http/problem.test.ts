import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import * as errors from '../../src/errors.ts'
import { EdgeError, unauthenticated } from '../../src/http/errors.ts'
import { knownError, PROBLEMS, problemOf } from '../../src/http/problem.ts'
import { ProblemView } from '../../src/schema/views.ts'

/** An error of Fastify's or Node's. */
const foreign = (code: string, statusCode?: number) => Object.assign(new Error('secret'), { code, statusCode })

describe('problemOf', () => {
  it.each<[errors.ServiceError, number]>([
    [new errors.InvalidArgumentError([{ pointer: '/a', detail: 'b' }]), 422],
    [new errors.EmptyWaitSetError(), 422],
    [new errors.NotFoundError(), 404],
    [new errors.BatchShuttingDownError(), 409],
    [new errors.BatchFinishedError(), 409],
    [new errors.JobFinishedError(), 409],
    [new errors.BatchTooLargeError(1, 'the limit'), 413],
    [new errors.QueueFullError(1), 429],
    [new errors.ShuttingDownError(), 503],
    [new errors.OverloadedError(), 503],
    [unauthenticated(), 401],
    [new EdgeError('forbidden', 'No.'), 403],
  ])('gives %o the status %d', (error, status) => {
    const { problem } = problemOf(error, 'id-1')

    expect(ProblemView.parse(problem)).toEqual(problem)
    expect(problem).toMatchObject({ status, code: error.code, type: `/problems/${error.code}`, instance: 'id-1' })
    expect(problem.detail).toBe(error.message)
  })

  it('names the wrong fields', () => {
    const fields = [{ pointer: '/a', detail: 'b' }]

    expect(problemOf(new errors.InvalidArgumentError(fields), 'x').problem.errors).toEqual(fields)
  })

  it('says when to try again, in whole seconds', () => {
    expect(problemOf(new errors.QueueFullError(1, 1.2), 'x').headers).toMatchObject({ 'retry-after': '2' })
    expect(problemOf(new errors.NotFoundError(), 'x').headers).not.toHaveProperty('retry-after')
  })

  it('challenges who has no key', () => {
    expect(problemOf(unauthenticated(), 'x').headers).toMatchObject({ 'www-authenticate': 'Bearer' })
  })

  it('says nothing of what nobody foresaw but the instance', () => {
    expect(problemOf(null, 'id-1')).toEqual({
      problem: { type: '/problems/internal', title: 'Internal error', status: 500, instance: 'id-1', code: 'internal' },
      headers: { 'content-type': 'application/problem+json; charset=utf-8' },
    })
  })
})

describe('knownError', () => {
  it.each([
    ['FST_ERR_CTP_BODY_TOO_LARGE', 413, 'body_too_large'],
    ['FST_ERR_CTP_INVALID_MEDIA_TYPE', 415, 'unsupported_media_type'],
    ['FST_ERR_CTP_INVALID_CONTENT_LENGTH', 400, 'bad_request'],
    ['FST_ERR_BAD_URL', 400, 'not_found'],
    ['FST_ERR_MAX_PARAM_LENGTH', 414, 'not_found'],
    ['FST_ERR_NOT_YET_WRITTEN', 418, 'bad_request'],
    ['ERR_HTTP_REQUEST_TIMEOUT', undefined, 'request_timeout'],
    ['HPE_HEADER_OVERFLOW', undefined, 'headers_too_large'],
    ['HPE_INVALID_METHOD', undefined, 'bad_request'],
    ['ECONNRESET', undefined, 'bad_request'],
  ])('calls %s by a name of ours, and keeps its text to itself', (code, statusCode, expected) => {
    const error = knownError(foreign(code, statusCode))

    expect(error?.code).toBe(expected)
    expect(error?.message).not.toContain('secret')
  })

  it.each([
    [new Error('x')],
    [foreign('FST_ERR_SOMETHING', 500)],
    [foreign('ENOENT')],
    [new errors.ConfigError('a setting')],
    ['a text'],
    [null],
    [undefined],
  ])('does not know %o', (thrown) => {
    expect(knownError(thrown)).toBeNull()
  })
})

describe('docs/problems.md', () => {
  it('has a heading for each code and no other', () => {
    const text = readFileSync(new URL('../../docs/problems.md', import.meta.url), 'utf8')

    const headings = [...text.matchAll(/^## (\w+)$/gm)].map((match) => match[1])

    expect(headings.sort()).toEqual(Object.keys(PROBLEMS).sort())
  })

  it('states the status of each code', () => {
    const text = readFileSync(new URL('../../docs/problems.md', import.meta.url), 'utf8')

    for (const [code, [status]] of Object.entries(PROBLEMS))
      expect(text).toMatch(new RegExp(`## ${code}\n\n${status}[.,]`))
  })
})
