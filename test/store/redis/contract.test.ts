import { afterAll, beforeAll, describe } from 'vitest'
import { NO_REDIS, RedisServer } from '../../support/redis.ts'
import { storeContract } from '../contract.ts'
import { underTest } from './under-test.ts'

describe.skipIf(NO_REDIS !== null)(`over Redis${NO_REDIS === null ? '' : ` (skipped: ${NO_REDIS})`}`, () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await RedisServer.start()
  })
  afterAll(() => server[Symbol.asyncDispose]())

  storeContract('RedisStore', () => underTest(server))
})
