import { KEYS } from './keys.ts'
import { Script } from './script.ts'

/**
 * Lua: whether the writer may write. Wants KEYS[1], the tenant's `t`; ARGV: the writer's proof ('' for none), its name, and the
 * number of this write of its. A write that arrives a second time is answered and not done; one that others of the same
 * writer have overtaken comes from a connection that was given up, and is refused.
 */
const FENCE = `
local base = string.sub(KEYS[1], 1, -2)
if ARGV[1] ~= '' and redis.call('GET', base .. 'owner') ~= ARGV[1] then return {'stale'} end
local facts = redis.call('HMGET', KEYS[1], 'rev', 'grave', 'bytes', 'no')
local writer, last = string.match(facts[1] or '', '^(%x+) (%d+)$')
if writer == ARGV[2] and tonumber(last) >= tonumber(ARGV[3]) then
  if tonumber(last) == tonumber(ARGV[3]) then return {'ok', facts[3] or '0'} end
  return {'late'}
end
`

/** Lua: the pairs in ARGV[first..last] into a hash; 'unpack' takes a few thousand values. */
const PUT = `
local function put(key, first, last)
  for i = first, last, 1000 do redis.call('HSET', key, unpack(ARGV, i, math.min(i + 999, last))) end
end
`

/**
 * Specs that go ahead of their commit, which are too many for one script. Nobody sees them: those of a new batch have no
 * head yet and expire without one, those of an old one lie behind its last job.
 *
 * KEYS: `t`, head. ARGV: the fence's, milliseconds to live (0: the batch is there), then indexes and jobs.
 */
export const STAGE = new Script(`${FENCE}${PUT}
redis.call('HSET', KEYS[1], 'rev', ARGV[2] .. ' ' .. ARGV[3])
put(KEYS[2] .. ':j', 5, #ARGV)
if ARGV[4] ~= '0' then redis.call('PEXPIRE', KEYS[2] .. ':j', ARGV[4]) end
return {'ok', '0'}
`)

/**
 * Part of a commit group, one tenant's: first everything is looked at, then everything is written.
 *
 * KEYS: `t`, then the heads. ARGV: the fence's, then for each head in turn what `commandOf` (command.ts) makes of it.
 * Returns `ok` and the tenant's bytes; `stale`: another replica owns it; `late`: see the fence; `gone` and a number: the record
 * is older than what is to follow in it; `conflict` and why.
 */
export const COMMIT = new Script(`${FENCE}${PUT}
local call = redis.call
local grave, highest = tonumber(facts[2] or '0'), tonumber(facts[4] or '0')
local plans, at = {}, 4
local function take(count) at = at + count; return at - count end

local entered, keyed = {}, {}

local function known(plan, cur)
  if plan.new == 0 then return cur[1] and true or false end
  plan.again = cur[1] and true or false
  if cur[1] and cur[1] ~= ARGV[plan.entry] then return nil, 'the batch number ' .. plan.no .. ' is taken' end
  local holder = not plan.again and call('HGET', base .. 'ids', ARGV[plan.entry])
  if holder then return nil, 'the batch is there as number ' .. holder end
  local id, key = ARGV[plan.entry], ARGV[plan.entry + 4]
  if entered[id] then return nil, 'the batch enters as number ' .. entered[id] end
  if keyed[key] then return nil, 'the Idempotency-Key is used by number ' .. keyed[key] end
  entered[id] = plan.no
  if key ~= '' then keyed[key] = plan.no end
  local used = ARGV[plan.entry + 4] ~= '' and call('HGET', base .. 'ik', ARGV[plan.entry + 4])
  if used and tonumber(string.match(used, '^%d+')) ~= plan.no then return nil, 'the Idempotency-Key was used' end
  return true
end

local function namesFree(plan)
  local seen = {}
  for _, part in ipairs(plan.parts) do
    for i = part.names, part.names + 2 * part.named - 2, 2 do
      local name, index = ARGV[i], ARGV[i + 1]
      local holder = seen[name] or call('HGET', plan.head .. ':n', name)
      if holder and holder ~= index then return false end
      seen[name] = index
    end
    if part.inline == 0 and plan.new == 1 and call('HLEN', plan.head .. ':j') < part.count then return false end
  end
  return true
end

for k = 2, #KEYS do
  local plan, p = {head = KEYS[k], parts = {}}, take(9)
  plan.no, plan.new, plan.partCount, plan.heads = tonumber(ARGV[p]), tonumber(ARGV[p + 1]), tonumber(ARGV[p + 2]), tonumber(ARGV[p + 3])
  plan.patches, plan.runs, plan.records, plan.logs = tonumber(ARGV[p + 4]), tonumber(ARGV[p + 5]), tonumber(ARGV[p + 6]), tonumber(ARGV[p + 7])
  plan.told = ARGV[p + 8]
  if plan.new == 1 then plan.entry = take(7) end
  for i = 1, plan.partCount do
    local q = take(5)
    local part = {from = tonumber(ARGV[q]), count = tonumber(ARGV[q + 1]), named = tonumber(ARGV[q + 2]), inline = tonumber(ARGV[q + 3]), bytes = tonumber(ARGV[q + 4])}
    part.names = take(2 * part.named)
    if part.inline == 1 then part.jobs = take(2 * part.count) end
    plan.parts[i] = part
  end
  if plan.heads == 1 then plan.newHead = take(3) end
  plan.patch, plan.run = take(2 * plan.patches), take(plan.runs)
  plan.record, plan.log = take(2 * plan.records), take(3 * plan.logs)

  if plan.no <= grave then
    plan.dead = true
  else
    local cur = call('HMGET', plan.head, 'i', 'e', 'f')
    local there, conflict = known(plan, cur)
    if conflict then return {'conflict', conflict} end
    if not there then return {'gone', tostring(plan.no)} end
    plan.id, plan.facts = cur[1] or ARGV[plan.entry], cur[3] or ''
    if not namesFree(plan) then return {'conflict', 'a name is taken, or specs have expired, in batch ' .. plan.no} end
    local last, fresh = tonumber(cur[2] or '0'), {}
    for i = plan.log, plan.log + 3 * plan.logs - 3, 3 do
      local seq = tonumber(ARGV[i])
      if seq > last + 1 then return {'gone', tostring(plan.no)} end
      if seq == last + 1 then
        fresh[#fresh + 1] = i
        last = tonumber(ARGV[i + 1])
      else
        local row = call('XRANGE', plan.head .. ':l', ARGV[i], ARGV[i])
        if #row == 0 or row[1][2][2] ~= ARGV[i + 2] then return {'conflict', 'event ' .. seq .. ' of batch ' .. plan.no .. ' is there'} end
      end
    end
    plan.fresh, plan.last = fresh, last
    -- Its events are there: an earlier try has written all of it.
    plan.dead = plan.logs > 0 and #fresh == 0
  end
  plans[#plans + 1] = plan
end

local total = 0

local function enter(plan)
  local e, bytes = plan.entry, 64
  local id, when, header, labels, key = ARGV[e], ARGV[e + 1], ARGV[e + 2], ARGV[e + 3], ARGV[e + 4]
  call('HSET', plan.head, 'i', id, 'a', when, 'h', header, 'f', '', 'm', 'running 0 - -')
  if labels ~= '' then call('HSET', plan.head, 'l', labels) end
  call('ZADD', base .. 'batches', plan.no, plan.no)
  call('SADD', '${KEYS.known}', string.sub(base, 10, -3))
  call('ZADD', base .. 'live', plan.no, plan.no)
  call('HSET', base .. 'ids', id, plan.no)
  if plan.no > highest then
    highest = plan.no
    call('HSET', KEYS[1], 'no', highest)
  end
  if key ~= '' then
    local value = string.format('%d', plan.no) .. '\\n' .. when .. '\\n' .. ARGV[e + 5] .. '\\n' .. ARGV[e + 6]
    call('HSET', base .. 'ik', key, value)
    call('ZADD', base .. 'ika', when, key)
    total = total + 64 + #key + #value
  end
  return bytes + #id + #header
end

local function replace(plan, part, count)
  local bytes = 0
  for i = part.jobs, part.jobs + 2 * (count - part.from) - 2, 2 do
    local old = call('HGET', plan.head .. ':j', ARGV[i])
    if old and i < part.jobs + 2 * part.count then
      bytes = bytes - 64 - #old
      local name = string.match(old, '^[^\\n]*\\n([^\\n]+)\\n')
      if name then call('HDEL', plan.head .. ':n', cjson.decode('[' .. name .. ']')[1]) end
    end
  end
  return bytes
end

local function addJobs(plan, part)
  local count, bytes = call('STRLEN', plan.head .. ':s'), part.bytes
  if part.inline == 1 then
    if part.from < count then bytes = bytes + replace(plan, part, math.min(count, part.from + part.count)) end
    put(plan.head .. ':j', part.jobs, part.jobs + 2 * part.count - 1)
  else
    call('PERSIST', plan.head .. ':j')
    if part.from < count then bytes = 0 end
  end
  put(plan.head .. ':n', part.names, part.names + 2 * part.named - 1)
  if part.from + part.count > count then call('SETRANGE', plan.head .. ':s', part.from + part.count - 1, '\\0') end
  return bytes
end

local function record(plan)
  local bytes, key = 0, plan.head .. ':r'
  for i = plan.run, plan.run + plan.runs - 1 do
    call('RPUSH', plan.head .. ':u', ARGV[i])
    bytes = bytes + 64 + #ARGV[i]
  end
  local runs, some = call('LLEN', plan.head .. ':u'), call('HLEN', key) > 0
  for i = plan.record, plan.record + 2 * plan.records - 2, 2 do
    local old = some and call('HSTRLEN', key, ARGV[i]) or 0
    bytes = bytes + #ARGV[i + 1] - old
    if old == 0 then bytes = bytes + 64 end
    if runs > 0 then call('HSET', key, ARGV[i], runs .. ARGV[i + 1]) end
  end
  if runs == 0 then put(key, plan.record, plan.record + 2 * plan.records - 1) end
  for i = plan.patch, plan.patch + 2 * plan.patches - 2, 2 do call('SETRANGE', plan.head .. ':s', ARGV[i], ARGV[i + 1]) end
  return bytes
end

local function setHead(plan)
  local h = plan.newHead
  call('HSET', plan.head, 'm', ARGV[h], 'f', ARGV[h + 1])
  if ARGV[h + 2] ~= '' then
    call('ZADD', base .. 'drained', ARGV[h + 2], plan.no)
    call('ZREM', base .. 'live', plan.no)
  end
  return #ARGV[h + 1] - #plan.facts
end

redis.call('HSET', KEYS[1], 'rev', ARGV[2] .. ' ' .. ARGV[3])
for _, plan in ipairs(plans) do
  if not plan.dead then
    local bytes = 0
    if plan.new == 1 and not plan.again then bytes = enter(plan) end
    for _, part in ipairs(plan.parts) do bytes = bytes + addJobs(plan, part) end
    if plan.heads == 1 then bytes = bytes + setHead(plan) end
    bytes = bytes + record(plan)
    for _, i in ipairs(plan.fresh) do
      call('XADD', plan.head .. ':l', ARGV[i] .. '-0', 'e', ARGV[i + 2])
      bytes = bytes + 64 + #ARGV[i + 2]
    end
    if #plan.fresh > 0 then call('HSET', plan.head, 'e', string.format('%d', plan.last)) end
    if bytes ~= 0 then call('HINCRBY', plan.head, 'b', bytes) end
    total = total + bytes
    if plan.told ~= '' then call('PUBLISH', 'gatherd:b:' .. plan.id, plan.told) end
  end
end
return {'ok', tostring(call('HINCRBY', KEYS[1], 'bytes', total))}
`)

/** Forget whose a number is that was given to a batch which was taken back. KEYS: the number's. ARGV: the tenant; another's stays. */
export const FORGET = new Script(`
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return {'ok'}
`)

/**
 * Delete a new batch that was refused to its caller, and may have been written all the same.
 *
 * KEYS: `t`, head. ARGV: the fence's, id, number, Idempotency-Key or ''. Returns as {@link COMMIT}; `taken` when the number is another batch's.
 */
export const TAKE_BACK = new Script(`${FENCE}
redis.call('HSET', KEYS[1], 'rev', ARGV[2] .. ' ' .. ARGV[3])
local id, no, key = ARGV[4], ARGV[5], ARGV[6]
local cur = redis.call('HMGET', KEYS[2], 'i', 'b')
if cur[1] and cur[1] ~= id then return {'taken'} end
local bytes = tonumber(cur[2] or '0')
local used = key ~= '' and redis.call('HGET', base .. 'ik', key)
if used and string.match(used, '^%d+') == no then
  bytes = bytes + 64 + #key + #used
  redis.call('HDEL', base .. 'ik', key)
  redis.call('ZREM', base .. 'ika', key)
end
redis.call('ZREM', base .. 'batches', no)
redis.call('ZREM', base .. 'live', no)
redis.call('ZREM', base .. 'drained', no)
if redis.call('HGET', base .. 'ids', id) == no then redis.call('HDEL', base .. 'ids', id) end
local h = KEYS[2]
redis.call('UNLINK', h, h .. ':s', h .. ':j', h .. ':r', h .. ':u', h .. ':n', h .. ':l')
return {'ok', tostring(redis.call('HINCRBY', KEYS[1], 'bytes', 0 - bytes))}
`)
