import { Script } from './script.ts'

/**
 * Jobs by index without their specs, as many as a budget of bytes allows, one at least.
 *
 * KEYS: head. ARGV: the budget, then indexes. Returns null where there is no batch, or id, facts, records of runs, and for each
 * job what is before its spec, and its record, null each where there is none.
 */
export const READ_JOBS = new Script(`
local head = redis.call('HMGET', KEYS[1], 'i', 'f')
if not head[1] then return false end
local out = {head[1], head[2], redis.call('LRANGE', KEYS[1] .. ':u', 0, -1)}
local budget, count = tonumber(ARGV[1]), redis.call('STRLEN', KEYS[1] .. ':s')
for i = 2, #ARGV do
  if budget <= 0 then break end
  local job = tonumber(ARGV[i]) < count and redis.call('HGET', KEYS[1] .. ':j', ARGV[i])
  local record = redis.call('HGET', KEYS[1] .. ':r', ARGV[i])
  out[#out + 1] = job and (string.match(job, '^[^\\n]*\\n[^\\n]*') or job)
  out[#out + 1] = record
  budget = budget - 400 - (record and #record or 0)
end
return out
`)

/** Jobs with their specs from an index on. KEYS: head. ARGV: index, limit, bytes. At least one, if there is one. */
export const READ_SPECS = new Script(`
local from, budget, out = tonumber(ARGV[1]), tonumber(ARGV[3]), {}
local to = math.min(from + tonumber(ARGV[2]), redis.call('STRLEN', KEYS[1] .. ':s'))
if redis.call('EXISTS', KEYS[1]) == 0 then return out end
for i = from, to - 1 do
  if budget <= 0 then break end
  local job = redis.call('HGET', KEYS[1] .. ':j', string.format('%d', i))
  if not job then break end
  out[#out + 1] = job
  budget = budget - #job
end
return out
`)

/** The records of some jobs, without those of runs. KEYS: head. ARGV: a budget of bytes, then indexes. At least one. */
export const READ_RECORDS = new Script(`
local out, budget = {}, tonumber(ARGV[1])
for i = 2, #ARGV do
  if budget <= 0 then break end
  local record = redis.call('HGET', KEYS[1] .. ':r', ARGV[i])
  out[#out + 1] = record
  budget = budget - 64 - (record and #record or 0)
end
return out
`)
