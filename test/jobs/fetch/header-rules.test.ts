import { describe, expect, it } from 'vitest'
import { headerProblems, isForbiddenHeader, isSecretHeader } from '../../../src/jobs/fetch/header-rules.ts'

/** As somebody might write it to get past a comparison of text. */
const inOddCase = (name: string) =>
  name.replace(/[a-z]/g, (letter, at: number) => (at % 2 ? letter : letter.toUpperCase()))

/** What is refused, and why. */
const FORBIDDEN: Record<string, string> = {
  'frames the message': `host connection keep-alive transfer-encoding content-length te trailer upgrade expect http2-settings
    proxy-authorization proxy-connection proxy-anything sec-fetch-site sec-ch-ua`,
  'says who asks': `via forwarded x-forwarded x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip x-client-ip
    true-client-ip cf-connecting-ip x-cluster-client-ip fastly-client-ip x-envoy-external-address`,
  "opens a cloud's metadata service": `metadata metadata-flavor metadata-token metadata-token-expiry-seconds
    x-google-metadata-request x-aws-ec2-metadata-token x-aws-ec2-metadata-token-ttl-seconds x-identity-header
    x-aliyun-ecs-metadata-token x-aliyun-ecs-metadata-token-ttl-seconds`,
}

/** Names that only look like those, from `x-metadata` on. */
const FREE = `accept authorization cookie x-api-key user-agent range cdn-loop secret origin
  x-metadata metadatas hostname x-host x-forwardedfor proxy sec client identity-header`

const words = (text: string) => text.split(/\s+/)

describe('a header that is not for a job to set', () => {
  describe.each(Object.entries(FORBIDDEN))('%s:', (_why, names) => {
    it.each(words(names))('%s', (name) => {
      expect([isForbiddenHeader(name), isForbiddenHeader(inOddCase(name))]).toEqual([true, true])
      expect(isForbiddenHeader(name.replaceAll('-', '_').toUpperCase())).toBe(true)
      expect(headerProblems({ [name]: 'x' })).toEqual([[name, 'This header is not for a job to set.']])
    })
  })

  it.each(words(FREE))('%s is none', (name) => {
    expect([isForbiddenHeader(name), headerProblems({ [name]: 'x' })]).toEqual([false, []])
  })
})

describe('a header that is kept encrypted', () => {
  it.each(
    words(`Authorization COOKIE x-api-key X-Auth x-amz-security-token x-signature x-bearer BEARER otp x-otp-code X_OTP db-pwd pwd
      x-pass pass.word.pass x-hmac hmac-sha256 x-hub-hmac2 x-pin pin sig x-sig sig_v1`),
  )('%s is told by its name', (name) => {
    expect(isSecretHeader(name)).toBe(true)
  })

  it.each(
    words(
      'x-csrf accept x-design x-shipping x-assign pinned passage bypass x-compass hotpot x-forbearer x-pinning sigma option',
    ),
  )('%s is none', (name) => {
    expect(isSecretHeader(name)).toBe(false)
  })
})
