import { describe, expect, it } from 'vitest'
import { isAway, pagesUnlessAway, unlessAway } from '../../../src/engine/cluster/away.ts'
import { NoLeaseError } from '../../../src/engine/cluster/errors.ts'
import { NotFoundError, OverloadedError } from '../../../src/errors.ts'
import { StoreError } from '../../../src/store/error.ts'

describe('isAway', () => {
  it.each([
    new NoLeaseError(),
    new Error('Connection is closed.'),
    new Error("Stream isn't writeable and enableOfflineQueue options is false"),
    new Error('Command timed out'),
    new Error('Reached the max retries per request limit (which is 0).'),
    new Error('LOADING Redis is loading the dataset in memory'),
    new Error("OOM command not allowed when used memory > 'maxmemory'."),
    new Error('READONLY You cannot write against a read only replica.'),
    new Error('MISCONF Redis is configured to save RDB snapshots'),
    Object.assign(new Error('connect failed'), { code: 'ECONNREFUSED' }),
    new StoreError('Redis, EVALSHA: Connection is closed.'),
    new StoreError('Redis, HMGET: BUSY Redis is busy running a script.'),
    new Error('it failed', { cause: new Error('Connection is closed.') }),
  ])('says so of %s', (error) => {
    expect(isAway(error)).toBe(true)
  })

  it.each([
    new Error('WRONGTYPE Operation against a key holding the wrong kind of value'),
    new Error('ERR Error running script'),
    new StoreError('There is no batch number 5.'),
    new NotFoundError(),
    new TypeError('x is not a function'),
    'Connection is closed.',
    undefined,
  ])('does not of %s', (error) => {
    expect(isAway(error)).toBe(false)
  })
})

describe('unlessAway', () => {
  it('gives what came of it, or its own error, and tells callers to come again while Redis is away', async () => {
    const own = new NotFoundError()

    expect(await unlessAway(async () => 5)).toBe(5)
    await expect(unlessAway(() => Promise.reject(own))).rejects.toBe(own)
    const away = new StoreError('Redis, GET: Connection is closed.')
    const told = await unlessAway(() => Promise.reject(away)).catch((error: unknown) => error)

    expect(told).toBeInstanceOf(OverloadedError)
    expect((told as OverloadedError).cause).toBe(away)
  })
})

describe('pagesUnlessAway', () => {
  it('passes pages on, and says that Redis is away when the next one cannot be read', async () => {
    async function* pages(error?: Error) {
      yield 1
      yield 2
      if (error !== undefined) throw error
    }
    const seen: number[] = []
    const read = async (error?: Error) => {
      for await (const page of pagesUnlessAway(pages(error))) seen.push(page)
    }

    await read()
    await expect(read(new StoreError('Redis, HGET: Connection is closed.'))).rejects.toBeInstanceOf(OverloadedError)
    await expect(read(new TypeError('x'))).rejects.toBeInstanceOf(TypeError)

    expect(seen).toEqual([1, 2, 1, 2, 1, 2])
  })
})
