import type { BatchNo, Store } from '../store.ts'
import type { Connection } from './connection.ts'
import { KEYS, numberKey, tenantKey } from './keys.ts'
import { countOf, listOf, textOf, textOrNull, textsOf } from './replies.ts'
import { Script } from './script.ts'

/** Tenants that are looked at at once. */
const TENANTS = 50

/** Batches that one script takes out of sight, or whose jobs and logs it lets go. */
const BATCHES = 50

/** Keys and tombstones that one script deletes. */
const ROWS = 500

/**
 * One step for a tenant. What is too old goes out of sight, leaving a tombstone; its jobs and log are let go by {@link PURGE}. A tenant
 * of which nothing is left is looked at no more until it has a batch again, which COMMIT says in the same step.
 *
 * KEYS: `t`. ARGV: now, the three instants of `Store.expire`, batches, rows. Returns how many rows went, the tenant's bytes, the
 * name of a grave or '', numbers in `purge`, numbers in the grave.
 */
const EXPIRE = new Script(`
local call, base = redis.call, string.sub(KEYS[1], 1, -2)
local rows, bytes = 0, 0
for _, key in ipairs(call('ZRANGEBYSCORE', base .. 'ika', '-inf', '(' .. ARGV[3], 'LIMIT', 0, ARGV[6])) do
  bytes = bytes - 64 - #key - call('HSTRLEN', base .. 'ik', key)
  call('HDEL', base .. 'ik', key)
  call('ZREM', base .. 'ika', key)
  rows = rows + 1
end
for _, no in ipairs(call('ZRANGEBYSCORE', base .. 'drained', '-inf', '(' .. ARGV[2], 'LIMIT', 0, ARGV[5])) do
  local h = base .. 'b:' .. no
  local cur = call('HMGET', h, 'i', 'b')
  for _, name in ipairs({'drained', 'batches', 'live'}) do call('ZREM', base .. name, no) end
  if cur[1] then
    call('HDEL', base .. 'ids', cur[1])
    call('ZADD', base .. 'tombs', ARGV[1], cur[1])
    bytes = bytes + 64 + #cur[1]
  end
  call('UNLINK', h)
  call('ZADD', base .. 'purge', cur[2] or 0, no)
  rows = rows + 1
end
for _, id in ipairs(call('ZRANGEBYSCORE', base .. 'tombs', '-inf', '(' .. ARGV[4], 'LIMIT', 0, ARGV[6])) do
  bytes = bytes - 64 - #id
  call('ZREM', base .. 'tombs', id)
  rows = rows + 1
end
local grave, dead = call('SRANDMEMBER', base .. 'graves') or '', {}
if grave ~= '' then
  dead = call('ZRANGE', base .. 'dead:' .. grave, 0, ARGV[5] - 1)
  if #dead == 0 then rows = rows + call('SREM', base .. 'graves', grave) end
end
if bytes ~= 0 then call('HINCRBY', KEYS[1], 'bytes', bytes) end
if rows == 0 and grave == '' and call('EXISTS', base .. 'batches', base .. 'purge', base .. 'tombs', base .. 'ika') == 0 then
  call('SREM', '${KEYS.known}', string.sub(base, 10, -3))
end
return {rows, call('HGET', KEYS[1], 'bytes') or '0', grave, call('ZRANGE', base .. 'purge', 0, ARGV[5] - 1), dead}
`)

/**
 * Let go of batches nobody sees, each once, whoever else does the same.
 *
 * KEYS: `t`, the zset that names them. ARGV: their numbers. Returns how many there were, and the tenant's bytes.
 */
const PURGE = new Script(`
local call, base = redis.call, string.sub(KEYS[1], 1, -2)
local rows, bytes = 0, 0
for _, no in ipairs(ARGV) do
  local size, h = call('ZSCORE', KEYS[2], no), base .. 'b:' .. no
  if size then
    if KEYS[2] == base .. 'purge' then bytes = bytes - tonumber(size) end
    call('ZREM', KEYS[2], no)
    call('UNLINK', h, h .. ':s', h .. ':j', h .. ':r', h .. ':u', h .. ':n', h .. ':l')
    rows = rows + 1
  end
end
if bytes ~= 0 then call('HINCRBY', KEYS[1], 'bytes', bytes) end
return {rows, call('HGET', KEYS[1], 'bytes') or '0'}
`)

/**
 * Make all that a tenant has nobody's, without touching a batch.
 *
 * KEYS: `t`. ARGV: the writer's proof, the highest number that is deleted. Returns `ok` or `stale`.
 */
export const BURY = new Script(`
local call, base, name = redis.call, string.sub(KEYS[1], 1, -2), ARGV[2]
if ARGV[1] ~= '' and call('GET', base .. 'owner') ~= ARGV[1] then return {'stale'} end
local last = math.max(tonumber(call('HGET', KEYS[1], 'grave') or '0'), tonumber(ARGV[2]))
call('HSET', KEYS[1], 'grave', string.format('%d', last))
call('HDEL', KEYS[1], 'bytes')
if call('EXISTS', base .. 'batches') == 1 then
  -- One that was deleted before may not be gone yet.
  while call('EXISTS', base .. 'dead:' .. name) == 1 do name = name .. '+' end
  call('RENAME', base .. 'batches', base .. 'dead:' .. name)
  call('SADD', base .. 'graves', name)
end
if call('EXISTS', base .. 'purge') == 1 then call('ZUNIONSTORE', base .. 'purge', 1, base .. 'purge', 'WEIGHTS', 0) end
call('UNLINK', base .. 'live', base .. 'drained', base .. 'ids', base .. 'ik', base .. 'ika', base .. 'tombs')
return {'ok'}
`)

/** Deletes what is too old, tenant by tenant. Any number of processes may do so at once. */
export class Expiry {
  readonly #connection: Connection
  readonly #onBytes: (tenantId: string, bytes: number) => void
  /** Tenants that this sweep has not found empty yet. */
  #left: string[] | null = null
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: { connection: Connection; onBytes: (tenantId: string, bytes: number) => void }) {
    this.#connection = options.connection
    this.#onBytes = options.onBytes
  }

  /** See `Store.expire`: calls until 0 are one sweep over all tenants, one after the other. */
  step(step: Parameters<Store['expire']>[0]): Promise<number> {
    const done = this.#last.catch(() => undefined).then(() => this.#step(step))
    this.#last = done
    return done
  }

  async #step(step: Parameters<Store['expire']>[0]): Promise<number> {
    const left = this.#left ?? textsOf(await this.#connection.call('SMEMBERS', KEYS.known), KEYS.known)
    for (;;) {
      const some = left.slice(0, TENANTS)
      const rows = await Promise.all(some.map((tenantId) => this.#expire(tenantId, step)))
      const idle = new Set(some.filter((_, i) => rows[i] === 0))
      left.splice(0, some.length, ...some.filter((tenantId) => !idle.has(tenantId)))
      this.#left = left.length === 0 ? null : left
      const sum = rows.reduce((total, own) => total + own, 0)
      if (sum > 0 || left.length === 0) return sum
    }
  }

  async #expire(tenantId: string, step: Parameters<Store['expire']>[0]): Promise<number> {
    const { now, drainedBefore, keysBefore, tombstonesBefore } = step
    const key = tenantKey(tenantId, 't')
    const args = [now, drainedBefore, keysBefore, tombstonesBefore, BATCHES, ROWS]
    const [rows, bytes, grave, purge, dead] = listOf(await this.#connection.run(EXPIRE, [key], args), key)
    this.#onBytes(tenantId, countOf(bytes, key))
    const name = textOrNull(grave, key)
    const purged = await this.#purge(tenantId, 'purge', textsOf(purge, key))
    const dug = name === '' || name === null ? 0 : await this.#purge(tenantId, `dead:${name}`, textsOf(dead, key))
    return countOf(rows, key) + purged + dug
  }

  async #purge(tenantId: string, name: string, numbers: readonly string[]): Promise<number> {
    if (numbers.length === 0) return 0
    const key = tenantKey(tenantId, 't')
    // Before the rows, so that it is done again if this process ends in between.
    await Promise.all(numbers.map((no) => this.#connection.call('UNLINK', numberKey(numberOf(no)))))
    const reply = listOf(await this.#connection.run(PURGE, [key, tenantKey(tenantId, name)], numbers), key)
    this.#onBytes(tenantId, countOf(textOf(reply[1], key), key))
    return countOf(reply[0], key)
  }
}

function numberOf(no: string): BatchNo {
  return countOf(no, 'the number of a batch')
}
