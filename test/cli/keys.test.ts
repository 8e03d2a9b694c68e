import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { keys } from '../../src/cli/keys.ts'
import { systemClock } from '../../src/clock.ts'
import { readConfig } from '../../src/config.ts'
import { buildLogger } from '../../src/log.ts'
import { wire } from '../../src/wiring.ts'
import { ADMIN_KEY, startFake } from '../support/fake-parts.ts'
import { FakeIo, outcome } from './fake-io.ts'

const NO_KEY_ABC = 'Tenant "default" has no key abc. For a key of another tenant, name it: --tenant <id>.'

/** A data directory that is removed at the end. */
function scratch() {
  const dir = mkdtempSync(join(tmpdir(), 'gatherd-keys-'))
  return { dataDir: join(dir, 'data'), [Symbol.dispose]: () => rmSync(dir, { recursive: true }) }
}

/** Run `gatherd keys` with these arguments; what it printed and how it ended. */
async function keysOf(env: Record<string, string>, ...args: string[]) {
  const io = new FakeIo(args, { env })
  return { io, out: io.stdout, err: io.stderr, ...(await outcome(keys, io)) }
}

/** A service on a data directory, and whom a key speaks for there. */
async function openService(dataDir: string) {
  const logger = buildLogger({ level: 'silent' })
  const onFatal = () => undefined
  const around = { clock: systemClock, logger, version: '0', onFatal }
  const service = await wire(readConfig({ GATHERD_DATA_DIR: dataDir }), around)
  return {
    service,
    callerOf: (key: string) => service.keys.authenticate(`Bearer ${key.trim()}`),
    [Symbol.asyncDispose]: () => service.close(),
  }
}

describe('gatherd keys, on a data directory', () => {
  it('makes a key, and the tenant and the directory where there is none, and prints nothing else on standard output', async () => {
    using place = scratch()

    const { status, out, err } = await keysOf({ GATHERD_DATA_DIR: place.dataDir }, 'create', '--tenant', 'acme')

    expect(status).toBe(0)
    expect(out.text).toMatch(/^gth_\S+\n$/)
    expect(err.text).toMatch(
      /^gatherd: there was no tenant "acme": made, with the default limits\.\ngatherd: key [0-9a-f]{16} of tenant "acme", shown this once\.\n$/,
    )
    await using opened = await openService(place.dataDir)
    expect(opened.callerOf(out.text)).toMatchObject({ tenantId: 'acme' })
    expect(opened.service.firstKey).toBeNull()
  })

  it('lists the keys of a tenant with their names and ends', async () => {
    using place = scratch()
    const env = { GATHERD_DATA_DIR: place.dataDir }
    await keysOf(env, 'create', '--name', 'ci', '--expires-in', '30d')
    await keysOf(env, 'create')

    const { out } = await keysOf(env, 'list')

    const [heading, first, second] = out.text.split('\n')
    expect(heading).toMatch(/^ID +NAME +SCOPES +CREATED +EXPIRES +REVOKED$/)
    expect(first).toMatch(/^[0-9a-f]{16} {2}ci +jobs +20\S+Z +20\S+Z +-$/)
    expect(second).toMatch(/^[0-9a-f]{16} {2}- +jobs +20\S+Z +- +-$/)
  })

  it('revokes a key, so that the service does not know it any more', async () => {
    using place = scratch()
    const env = { GATHERD_DATA_DIR: place.dataDir }
    const made = (await keysOf(env, 'create', '--json')).out.json[0]

    const { status, err } = await keysOf(env, 'revoke', String(made.id))

    expect(status).toBe(0)
    expect(err.text).toBe(`gatherd: key ${made.id} of tenant "default" is revoked.\n`)
    await using opened = await openService(place.dataDir)
    expect(opened.callerOf(String(made.key))).toBeNull()
  })

  it('prints JSON as the API does', async () => {
    using place = scratch()
    const env = { GATHERD_DATA_DIR: place.dataDir }

    const made = (await keysOf(env, 'create', '--json', '--name', 'ci')).out.json[0]
    const listed = (await keysOf(env, 'list', '--json')).out.json[0]
    const revoked = (await keysOf(env, 'revoke', String(made.id), '--json')).out.json[0]

    const { key, ...view } = made
    expect(key).toMatch(/^gth_/)
    expect(listed).toEqual({ data: [view] })
    expect(view).toMatchObject({ tenantId: 'default', name: 'ci', expiresAt: null, revokedAt: null })
    expect(revoked).toEqual({ id: made.id, tenantId: 'default', revoked: true })
  })

  it('makes a key for the admin API, for jobs, or for both, and for nothing else', async () => {
    using place = scratch()
    const env = { GATHERD_DATA_DIR: place.dataDir }
    const scopesOf = async (...scopes: string[]) =>
      (await keysOf(env, 'create', '--json', ...scopes.flatMap((scope) => ['--scope', scope]))).out.json[0]?.scopes

    expect(await scopesOf('admin')).toEqual(['admin'])
    expect(await scopesOf('jobs', 'admin', 'jobs')).toEqual(['jobs', 'admin'])
    expect(await scopesOf()).toEqual(['jobs'])
    const { status, message } = await keysOf(env, 'create', '--scope', 'root')
    expect([status, message]).toEqual([2, '--scope is jobs or admin, and not "root".'])
  })

  it('does not bring a deleted tenant back, unless it is to have a key', async () => {
    using place = scratch()
    const env = { GATHERD_DATA_DIR: place.dataDir }
    await keysOf(env, 'create', '--tenant', 'acme')
    {
      await using opened = await openService(place.dataDir)
      await opened.service.engine.deleteTenant('default')
    }
    const tenants = async () => {
      await using opened = await openService(place.dataDir)
      return (await opened.service.store.tenants()).map(({ id }) => id)
    }

    await keysOf(env, 'list', '--tenant', 'acme')
    expect(await tenants()).toEqual(['acme'])
    await keysOf(env, 'create')

    expect(await tenants()).toEqual(['acme', 'default'])
  })

  it('says what to do when a service is using the directory', async () => {
    using place = scratch()
    await using _opened = await openService(place.dataDir)

    const { status, message } = await keysOf({ GATHERD_DATA_DIR: place.dataDir }, 'list')

    expect(status).toBe(2)
    expect(message).toContain('another gatherd process is using it')
    expect(message).toContain('--url http://127.0.0.1:3000')
    expect(message).toContain('/v1/admin/tenants')
  })

  it.each([
    [{ GATHERD_PORT: '8080' }, 'http://127.0.0.1:8080'],
    [{ GATHERD_HOST: '0.0.0.0', GATHERD_PORT: '80' }, 'http://127.0.0.1:80'],
    [{ GATHERD_HOST: '::' }, 'http://[::1]:3000'],
    [{ GATHERD_HOST: '10.0.0.7', GATHERD_PORT: '0' }, 'http://10.0.0.7:<its port>'],
  ])('says where that service is by its settings, %j', async (env, url) => {
    using place = scratch()
    await using _opened = await openService(place.dataDir)

    const { message } = await keysOf({ GATHERD_DATA_DIR: place.dataDir, ...env }, 'list')

    expect(message).toContain(`--url ${url} (`)
  })

  it('makes no directory just to look into it', async () => {
    using place = scratch()

    const { status, message } = await keysOf({ GATHERD_DATA_DIR: place.dataDir }, 'list')

    expect(status).toBe(2)
    expect(message).toContain('There is no database in')
    expect(existsSync(place.dataDir)).toBe(false)
  })

  it('names the tenant or the key that is not there', async () => {
    using place = scratch()
    const env = { GATHERD_DATA_DIR: place.dataDir }
    await keysOf(env, 'create')

    expect((await keysOf(env, 'list', '--tenant', 'nobody')).message).toContain('There is no tenant "nobody"')
    expect((await keysOf(env, 'revoke', 'abc')).message).toBe(NO_KEY_ABC)
  })

  it.each([
    [[], 'Say what to do'],
    [['polish'], 'Say what to do'],
    [['list', 'x'], 'takes no "x"'],
    [['revoke'], 'Name the key to revoke'],
    [['revoke', 'a', 'b'], 'takes no "b"'],
    [['create', '--expires-in', 'soon'], '--expires-in is a number with s, m, h or d'],
    [['create', '--expires-in', '999999999d'], '--expires-in is a number with s, m, h or d'],
    [['list', '--tenant', 'A b'], 'A tenant is named with'],
    [['list', '--nope'], 'Unknown option --nope.\n\ngatherd keys'],
    [['list', '--data-dir', 'x'], 'Unknown option --data-dir. GATHERD_DATA_DIR is a setting'],
  ])('refuses %j', async (args, words) => {
    const { status, message } = await keysOf({ GATHERD_DATA_DIR: '/nowhere/at/all' }, ...args)

    expect(status).toBe(2)
    expect(message).toContain(words)
  })

  it('refuses a store that keeps nothing', async () => {
    expect((await keysOf({ GATHERD_DATA_DIR: ':memory:' }, 'create')).message).toContain('keeps no keys')
  })

  it('shows its help', async () => {
    const { status, out } = await keysOf({}, '--help')

    expect(status).toBe(0)
    expect(out.text).toContain('gatherd keys create')
  })
})

describe('gatherd keys --url', () => {
  it('makes, lists and revokes through the admin API of a running service', async () => {
    await using service = await startFake()
    const env = { GATHERD_ADMIN_KEY: ADMIN_KEY }
    const at = ['--url', service.origin, '--tenant', 'acme']

    const made = (await keysOf(env, 'create', ...at, '--name', 'ci', '--expires-in', '1h', '--json')).out.json[0]
    const listed = (await keysOf(env, 'list', ...at)).out.text
    const revoked = await keysOf(env, 'revoke', String(made.id), ...at)

    expect(listed).toContain(`${made.id}  ci`)
    expect(revoked.status).toBe(0)
    expect(service.keys.authenticate(`Bearer ${made.key}`)).toBeNull()
    expect(service.keys.list('acme')).toHaveLength(1)
  })

  it('leaves the settings of a tenant that is there alone', async () => {
    await using service = await startFake()
    await service.admin.put('/v1/admin/tenants/acme').send({ maxConcurrency: 3 })

    await keysOf({}, 'create', '--url', service.origin, '--tenant', 'acme', '--admin-key', ADMIN_KEY)

    expect(service.directory.tenantRows.get('acme')?.settings).toEqual({ maxConcurrency: 3 })
  })

  it('passes on what the service says', async () => {
    await using service = await startFake()
    const url = ['--url', service.origin]

    const wrongKey = await keysOf({}, 'list', ...url, '--admin-key', 'x'.repeat(32))
    const unknown = await keysOf({ GATHERD_ADMIN_KEY: ADMIN_KEY }, 'list', ...url, '--tenant', 'nobody')

    expect([wrongKey.status, wrongKey.message]).toEqual([
      2,
      'The service answered 401: this admin key is not its GATHERD_ADMIN_KEY, nor a key with scope admin that is good.',
    ])
    expect(unknown.message).toContain('The service answered 404 (not_found)')
  })

  it('says in which tenant it looked for the key to revoke', async () => {
    await using service = await startFake()
    const env = { GATHERD_ADMIN_KEY: ADMIN_KEY }
    await keysOf(env, 'create', '--url', service.origin)

    expect((await keysOf(env, 'revoke', 'abc', '--url', service.origin)).message).toBe(NO_KEY_ABC)
  })

  it('goes to the data directory without --url, whatever GATHERD_URL says', async () => {
    using place = scratch()
    const env = { GATHERD_DATA_DIR: place.dataDir, GATHERD_URL: 'http://127.0.0.1:1', GATHERD_ADMIN_KEY: ADMIN_KEY }

    expect((await keysOf(env, 'create')).status).toBe(0)
    expect(existsSync(place.dataDir)).toBe(true)
  })

  it.each([
    [{}, ['--url', 'http://127.0.0.1:1'], '--url needs GATHERD_ADMIN_KEY'],
    [{ GATHERD_ADMIN_KEY: ADMIN_KEY }, ['--url', 'localhost'], '--url is where the service is'],
    [{ GATHERD_ADMIN_KEY: ADMIN_KEY }, ['--url', 'http://127.0.0.1:1'], 'http://127.0.0.1:1 does not answer'],
  ])('with %j refuses %j', async (env, args, words) => {
    const { status, message } = await keysOf(env, 'list', ...args)

    expect(status).toBe(2)
    expect(message).toContain(words)
  })
})
