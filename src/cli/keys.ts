import type { Scope } from '../auth/keyring.ts'
import { readConfig } from '../config.ts'
import { ConfigError } from '../errors.ts'
import type { Command, Io } from './io.ts'
import { adminKeys } from './keys/admin-api.ts'
import { type KeyDesk, type KeyInfo, keyTable } from './keys/desk.ts'
import { directoryKeys } from './keys/directory.ts'
import { expiryAfter } from './keys/expiry.ts'
import { sharedKeys } from './keys/shared.ts'
import { parsed } from './options.ts'

const HELP = `gatherd keys: make, list and revoke API keys.

  gatherd keys create [--tenant default] [--name <text>] [--scope jobs] [--expires-in 30d]
  gatherd keys list [--tenant default]
  gatherd keys revoke <key id> [--tenant default]

"create" prints the key on standard output, this once: it is kept nowhere. A tenant that does not exist yet is made.
With GATHERD_REDIS_URL the keys are in that Redis, and what is changed holds for all replicas at once. Else those of
GATHERD_DATA_DIR are changed in place, which needs the service to be stopped. While it runs, ask it:

  --url <http://host:port>  where the service is; GATHERD_URL is not read, so that no shell's variable redirects this
  --admin-key <key>         its GATHERD_ADMIN_KEY; better passed in that variable, as arguments can be seen by others

  --scope jobs|admin        what a new key is for, jobs without it; twice for both. One for admin is good for the admin API
                            over all tenants, as GATHERD_ADMIN_KEY is
  --expires-in <time>       a number with s, m, h or d; without it a key is good until it is revoked
  --json                    print JSON, as the API does
  --help
`

const OPTIONS = {
  tenant: { type: 'string', default: 'default' },
  name: { type: 'string' },
  scope: { type: 'string', multiple: true },
  'expires-in': { type: 'string' },
  url: { type: 'string' },
  'admin-key': { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

type Values = NonNullable<ReturnType<typeof parsed<typeof OPTIONS>>>['values']

/** Make, list or revoke keys, in the data directory, in Redis, or by the admin API of a running service. */
export const keys: Command = async (io) => {
  const given = parsed(io, HELP, OPTIONS)
  if (given === null) return 0
  const { values, positionals } = given
  const act = actionOf(io, values, positionals)
  checkTenant(values.tenant)
  const desk = await openDesk(io, values, positionals[0] === 'create')
  try {
    await act(desk)
    return 0
  } finally {
    await desk.close()
  }
}

type Action = (desk: KeyDesk) => Promise<void>

/** What is asked for. @throws {ConfigError} before anything is opened. */
function actionOf(io: Io, values: Values, [action, id, ...rest]: string[]): Action {
  const extra = action === 'revoke' ? rest : [id, ...rest].filter((word) => word !== undefined)
  if (extra.length > 0) throw new ConfigError(`gatherd keys ${action} takes no "${extra[0]}".\n\n${HELP}`)
  if (action === 'create') return createAction(io, values)
  if (action === 'list') return (desk) => list(io, values, desk)
  if (action !== 'revoke') throw new ConfigError(`Say what to do: create, list or revoke.\n\n${HELP}`)
  if (id === undefined)
    throw new ConfigError(`Name the key to revoke by its id: gatherd keys list shows it.\n\n${HELP}`)
  return (desk) => revoke(io, values, desk, id)
}

function createAction(io: Io, values: Values): Action {
  const expiresAt = expiryAfter(values['expires-in'])
  const scopes = scopesOf(values.scope)
  return async (desk) => {
    const { made, isNewTenant } = await desk.create(values.tenant, { name: values.name ?? null, scopes, expiresAt })
    io.stdout.write(values.json ? `${JSON.stringify(made)}\n` : `${made.key}\n`)
    // A mistyped name would have none of the limits that were meant.
    if (isNewTenant)
      io.stderr.write(`gatherd: there was no tenant "${values.tenant}": made, with the default limits.\n`)
    if (!values.json) io.stderr.write(`gatherd: key ${made.id} of tenant "${values.tenant}", shown this once.\n`)
  }
}

/** @throws {ConfigError} */
function scopesOf(given: readonly string[] = ['jobs']): Scope[] {
  return [...new Set(given)].map((scope) => {
    if (scope === 'jobs' || scope === 'admin') return scope
    throw new ConfigError(`--scope is jobs or admin, and not "${scope}".`)
  })
}

async function list(io: Io, { tenant, json }: Values, desk: KeyDesk): Promise<void> {
  const found: KeyInfo[] = await desk.list(tenant)
  io.stdout.write(json ? `${JSON.stringify({ data: found })}\n` : keyTable(found))
}

async function revoke(io: Io, { tenant, json }: Values, desk: KeyDesk, id: string): Promise<void> {
  await desk.revoke(tenant, id)
  if (json) io.stdout.write(`${JSON.stringify({ id, tenantId: tenant, revoked: true })}\n`)
  else io.stderr.write(`gatherd: key ${id} of tenant "${tenant}" is revoked.\n`)
}

async function openDesk({ env }: Io, values: Values, mayCreate: boolean): Promise<KeyDesk> {
  const config = readConfig(env)
  const adminKey = values['admin-key'] ?? config.adminKey
  if (values.url !== undefined) return adminKeys(values.url, adminKey)
  const { redisUrl } = config
  return redisUrl === undefined ? await directoryKeys(config, mayCreate) : await sharedKeys(redisUrl)
}

/** As the API names tenants. */
function checkTenant(tenant: string): void {
  if (/^[a-z0-9][a-z0-9_-]{0,63}$/.test(tenant)) return
  throw new ConfigError('A tenant is named with 1 to 64 of a-z, 0-9, "_" and "-", a letter or digit first.')
}
