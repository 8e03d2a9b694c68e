import { Script } from '../../store/redis/script.ts'

/** The key that says who owns a tenant: a replica's id, or '' or nothing for nobody. */
export const ownerKey = (tenantId: string) => `gatherd:{${tenantId}}:owner`

/** The hash of all tenants that somebody owns or should: its id or ''. What {@link ownerKey} says is true, this is where it is looked up. */
export const OWNED_KEY = 'gatherd:owned'

/** `[owner] [me, whose heartbeat is gone, or '']`: '' when it is mine now, else whose it is. */
export const TAKE = new Script<string>(`
local owner = redis.call('GET', KEYS[1])
if owner == ARGV[1] then return '' end
if owner and owner ~= '' and owner ~= ARGV[2] then return owner end
redis.call('SET', KEYS[1], ARGV[1])
return ''`)

/** `[owner] [me, '1' to keep the key]`: 1 when it was mine and is nobody's now. */
export const LET_GO = new Script<number>(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '1' then redis.call('SET', KEYS[1], '') else redis.call('DEL', KEYS[1]) end
return 1`)

/** `[owned] [tenant, from]` or `[tenant, from, to]`: what is listed as `from` is listed as `to`, or not at all any more. */
export const RELIST = new Script<number>(`
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if ARGV[3] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) else redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1`)

/**
 * `[owned] [cursor, count, whoever is not of interest …]`: a step of HSCAN, of which only those come back who have another owner:
 * `[cursor, [tenant, owner, …]]`. A hundred thousand tenants of the living stay in Redis.
 */
export const SCAN_OWNED = new Script<[string, string[]]>(`
local skipped = {}
for i = 3, #ARGV do skipped[ARGV[i]] = true end
local step = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local found = {}
for i = 1, #step[2], 2 do
  if not skipped[step[2][i + 1]] then
    found[#found + 1] = step[2][i]
    found[#found + 1] = step[2][i + 1]
  end
end
return {step[1], found}`)
