import { describe, expect, it } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { ConfigError } from '../../src/errors.ts'

function complaint(env: Record<string, string>): string {
  try {
    readConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return ''
}

describe('the settings of the egress guard', () => {
  it('are lists with commas, blanks around the entries left out', () => {
    const config = readConfig({
      GATHERD_EGRESS_ALLOW: '10.1.0.0/16, 10.9.9.9:9000,[fd00::1]:80',
      GATHERD_EGRESS_ALLOW_HOSTS: 'app.corp,*.svc.corp',
      GATHERD_EGRESS_DENY: '10.1.9.0/24',
      GATHERD_EGRESS_DENY_HOSTS: 'evil.example.com',
      GATHERD_EGRESS_NAT64: '64:ff9b::/96',
      GATHERD_EGRESS_DNS: '127.0.0.1:5353,[::1]:53,10.0.0.2',
      GATHERD_EGRESS_MODE: 'allow-list',
    })

    expect(config.egressAllow).toEqual(['10.1.0.0/16', '10.9.9.9:9000', '[fd00::1]:80'])
    expect(config.egressAllowHosts).toEqual(['app.corp', '*.svc.corp'])
    expect([config.egressDeny, config.egressDenyHosts]).toEqual([['10.1.9.0/24'], ['evil.example.com']])
    expect([config.egressNat64, config.egressDns.length, config.egressMode]).toEqual([
      ['64:ff9b::/96'],
      3,
      'allow-list',
    ])
  })

  it.each([
    ['GATHERD_EGRESS_ALLOW', '10.0.0.1/8', '10.0.0.1/8'],
    ['GATHERD_EGRESS_ALLOW', 'app.corp', 'app.corp'],
    ['GATHERD_EGRESS_ALLOW', '10.0.0.1,,10.0.0.2', '""'],
    ['GATHERD_EGRESS_DENY', '10.0.0.1:99999', '10.0.0.1:99999'],
    ['GATHERD_EGRESS_ALLOW_HOSTS', 'http://app.corp', 'http://app.corp'],
    ['GATHERD_EGRESS_ALLOW_HOSTS', '10.0.0.1', '10.0.0.1'],
    ['GATHERD_EGRESS_DENY_HOSTS', '*', '*'],
    ['GATHERD_EGRESS_NAT64', '64:ff9b::/97', '64:ff9b::/97'],
    ['GATHERD_EGRESS_DNS', 'dns.example.com', 'dns.example.com'],
    ['GATHERD_EGRESS_DNS', '10.0.0.0/8', '10.0.0.0/8'],
    ['GATHERD_EGRESS_MODE', 'off', 'must be one of public, allow-list'],
    ['GATHERD_EGRESS_CONNECT_TIMEOUT_MS', '0', 'must be at least 1'],
  ])('%s=%s stops the start, and the entry is named', (name, value, named) => {
    expect(complaint({ [name]: value })).toContain(name)
    expect(complaint({ [name]: value })).toContain(named)
  })

  it('names every entry that is wrong, of all lists, at once', () => {
    const text = complaint({ GATHERD_EGRESS_ALLOW: 'x,10.0.0.1,y', GATHERD_EGRESS_DENY_HOSTS: 'a b' })

    expect(text.split('\n').filter((line) => line.includes('has an entry'))).toHaveLength(3)
  })

  it('has no switch that turns the guard off', () => {
    expect(complaint({ GATHERD_EGRESS_GUARD: 'off' })).toContain('GATHERD_EGRESS_GUARD is no setting')
  })
})
