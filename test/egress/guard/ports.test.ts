import { describe, expect, it } from 'vitest'
import { isRefusedPort } from '../../../src/egress/guard/ports.ts'

describe('isRefusedPort', () => {
  it.each([
    ...[0, 1, 22, 23, 25, 53, 110, 111, 135, 139, 143, 389, 445, 465, 587, 993, 995, 1433, 1521, 2049, 2375, 2379],
    ...[3306, 3389, 5060, 5432, 5672, 5900, 6000, 6379, 6443, 6667, 9042, 9092, 9200, 9300, 10250, 11211, 27017],
  ])('refuses %i', (port) => {
    expect(isRefusedPort(port)).toBe(true)
  })

  it.each([80, 81, 443, 3000, 4000, 5000, 8000, 8008, 8080, 8081, 8443, 8888, 9000, 9443, 65_535])(
    'lets %i pass',
    (port) => {
      expect(isRefusedPort(port)).toBe(false)
    },
  )
})
