import { describe, expect, it } from 'vitest'
import { newKey } from '../../src/auth/key.ts'
import { FailedKeys, MAX_EXTRA_FAILURES, MAX_FAILURES, placeOf, WINDOW_MS } from '../../src/http/failures.ts'
import { FakeClock } from '../support/fake-clock.ts'

function start() {
  const clock = new FakeClock()
  const failures = new FailedKeys({ clock })
  const fail = (count: number, address = '10.0.0.1') => {
    for (let i = 0; i < count; i++) failures.failed(address, `Bearer wrong-${i}`)
  }
  return { clock, failures, fail }
}

describe('FailedKeys', () => {
  it('looks at twenty, and then at no more of that address', () => {
    const { failures, fail } = start()

    fail(MAX_FAILURES - 1)
    expect(failures.blockedFor('10.0.0.1')).toBe(0)
    fail(1)

    expect(MAX_FAILURES).toBe(20)
    expect(failures.blockedFor('10.0.0.1')).toBe(WINDOW_MS)
    expect(failures.blockedFor('10.0.0.2')).toBe(0)
  })

  it('never looks at more than twenty in any minute', () => {
    const { clock, failures } = start()
    const looked: number[] = []

    for (let second = 0; second < 600; second++) {
      for (let i = 0; i < 3; i++) {
        if (failures.blockedFor('a') > 0) continue
        looked.push(clock.now())
        failures.failed('a', 'Bearer x')
      }
      clock.advance(1_000)
    }

    for (const [i, at] of looked.entries())
      expect(looked[i + MAX_FAILURES] ?? Infinity).toBeGreaterThanOrEqual(at + WINDOW_MS)
    expect(looked.length).toBeGreaterThan(9 * MAX_FAILURES)
  })

  it('looks again when the first of the twenty is a minute old', () => {
    const { clock, failures, fail } = start()
    fail(1)
    clock.advance(30_000)
    fail(MAX_FAILURES - 1)
    expect(failures.blockedFor('10.0.0.1')).toBe(30_000)

    clock.advance(30_000)

    expect(failures.blockedFor('10.0.0.1')).toBe(0)
    fail(1)
    expect(failures.blockedFor('10.0.0.1')).toBe(30_000)
  })

  it('goes on to look at what could be a key of a tenant, known there or not, however many were none', () => {
    const { failures, fail } = start()
    fail(MAX_FAILURES + MAX_EXTRA_FAILURES)

    for (let i = 0; i < 100; i++) {
      const header = `Bearer ${newKey().text}`
      expect(failures.looksAnyway('10.0.0.1', header)).toBe(true)
      failures.failed('10.0.0.1', header)
    }

    expect(failures.blockedFor('10.0.0.1')).toBe(WINDOW_MS)
  })

  it.each<[string, (key: string) => string]>([
    ['has another checksum', (key) => `Bearer ${key.slice(0, -1)}${key.endsWith('0') ? '1' : '0'}`],
    ['is mistyped', (key) => `Bearer ${key.replace('gth_', 'gth-')}`],
    ['is cut', (key) => `Bearer ${key.slice(0, -1)}`],
    ['comes in another scheme', (key) => `Basic ${key}`],
    ['is nothing', () => 'Bearer'],
  ])('does not go on to look at what %s, when five of that were no good', (_what, header) => {
    const { failures, fail } = start()
    fail(MAX_FAILURES)
    const text = header(newKey().text)
    for (let i = 0; i < MAX_EXTRA_FAILURES; i++) {
      expect(failures.looksAnyway('10.0.0.1', text)).toBe(true)
      failures.failed('10.0.0.1', text)
    }

    expect(failures.looksAnyway('10.0.0.1', text)).toBe(false)
    expect(failures.looksAnyway('10.0.0.2', text)).toBe(true)
  })

  it('lets what keys of tenants have failed take nothing of the five', () => {
    const { failures, fail } = start()
    fail(MAX_FAILURES)
    for (let i = 0; i < 50; i++) failures.failed('10.0.0.1', `Bearer ${newKey().text}`)

    expect(failures.looksAnyway('10.0.0.1', 'Bearer admin')).toBe(true)
  })

  it('looks at five more when a minute is over', () => {
    const { clock, failures, fail } = start()
    fail(MAX_FAILURES + MAX_EXTRA_FAILURES)
    expect(failures.looksAnyway('10.0.0.1', 'Bearer x')).toBe(false)

    clock.advance(WINDOW_MS)

    expect(failures.blockedFor('10.0.0.1')).toBe(0)
    expect(failures.looksAnyway('10.0.0.1', 'Bearer x')).toBe(true)
  })

  it('goes on to look at the admin key where it was good before, and nowhere else', () => {
    const { failures, fail } = start()
    failures.succeeded('10.0.0.1', 'Bearer admin')
    failures.succeeded('10.0.0.1', `Bearer ${newKey().text}`)
    for (const address of ['10.0.0.1', '10.0.0.2']) fail(MAX_FAILURES + MAX_EXTRA_FAILURES, address)

    expect(failures.looksAnyway('10.0.0.1', 'Bearer admin')).toBe(true)
    expect(failures.looksAnyway('10.0.0.1', 'Bearer admin2')).toBe(false)
    expect(failures.looksAnyway('10.0.0.2', 'Bearer admin')).toBe(false)
  })

  it('counts a /64 as one client', () => {
    const { failures, fail } = start()
    fail(MAX_FAILURES / 2, '2001:db8:0:1::1')
    fail(MAX_FAILURES / 2, '2001:db8:0:1:ffff::2')

    expect(failures.blockedFor('2001:db8:0:1:1:2:3:4')).toBeGreaterThan(0)
    expect(failures.blockedFor('2001:db8:0:2::1')).toBe(0)
  })

  it('remembers so many addresses and no more, the newest', () => {
    const { failures, fail } = start()
    fail(MAX_FAILURES, 'first')
    for (let i = 0; i < 30_000; i++) {
      failures.failed(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 'Bearer x')
      failures.succeeded(`11.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 'Bearer y')
    }
    fail(MAX_FAILURES, 'last')

    expect(failures.size).toBe(20_000)
    expect(failures.blockedFor('first')).toBe(0)
    expect(failures.blockedFor('last')).toBeGreaterThan(0)
  })
})

describe('placeOf', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['::FFFF:10.1.2.3', '10.1.2.3'],
    ['::1', '0:0:0:0::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:0DB8:0000:00ab:1:2:3:4', '2001:db8:0:ab::/64'],
    ['2001:db8:1:2:3::', '2001:db8:1:2::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['', ''],
    ['unknown', 'unknown'],
  ])('of %j is %j', (address, place) => {
    expect(placeOf(address)).toBe(place)
  })

  it('is short, whatever a proxy forwards', () => {
    expect(placeOf('x'.repeat(10_000)).length).toBeLessThanOrEqual(64)
    expect(placeOf(':'.repeat(10_000)).length).toBeLessThanOrEqual(64)
  })
})
