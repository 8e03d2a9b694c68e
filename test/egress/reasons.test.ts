import { describe, expect, it } from 'vitest'
import { connectReason, dnsReason, tlsReason } from '../../src/egress/reasons.ts'

/** An error as Node makes them, its text telling what a tenant must not see. */
const nodeError = (code: string) => Object.assign(new Error(`connect ${code} 10.1.2.3:9000`), { code })

describe('the reasons of a failed connection', () => {
  it.each([
    ['ECONNREFUSED', 'refused'],
    ['ECONNRESET', 'reset'],
    ['ETIMEDOUT', 'timed_out'],
    ['EHOSTUNREACH', 'unreachable'],
    ['ENETUNREACH', 'unreachable'],
    ['EMFILE', 'other'],
    ['constructor', 'other'],
  ])('calls %s %s', (code, reason) => {
    expect(connectReason(nodeError(code)).reason).toBe(reason)
  })

  it('calls the failures of several addresses what the most telling one is', () => {
    const all = new AggregateError([nodeError('ENETUNREACH'), nodeError('ETIMEDOUT'), nodeError('ECONNREFUSED')])

    expect(connectReason(all).reason).toBe('refused')
    expect(connectReason(new AggregateError([])).reason).toBe('other')
  })

  it.each([
    [undefined, 'not_found'],
    [nodeError('ENOTFOUND'), 'not_found'],
    [nodeError('ENODATA'), 'not_found'],
    [nodeError('EAI_AGAIN'), 'no_answer'],
    [nodeError('ESERVFAIL'), 'no_answer'],
  ])('calls the name lookup error %s %s', (cause, reason) => {
    expect(dnsReason(cause).reason).toBe(reason)
  })

  it.each([
    ['CERT_NOT_YET_VALID', 'untrusted'],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'self_signed'],
    ['ECONNRESET', 'other'],
    ['toString', 'other'],
  ])('calls the handshake error %s %s', (code, reason) => {
    expect(tlsReason(nodeError(code)).reason).toBe(reason)
  })

  it('says nothing of Node’s text', () => {
    for (const describe of [dnsReason, connectReason, tlsReason]) {
      const { message } = describe(nodeError('ECONNREFUSED'))
      expect(message).not.toMatch(/10\.1|9000|ECONN/)
    }
  })
})
