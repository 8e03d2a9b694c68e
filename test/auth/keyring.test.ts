import { describe, expect, it } from 'vitest'
import { KeyRing } from '../../src/auth/keyring.ts'
import { Session } from '../../src/auth/sessions.ts'
import { InvalidArgumentError, NotFoundError, OverloadedError } from '../../src/errors.ts'
import { ADMIN_KEY, FakeDirectory, StillClock } from '../support/fake-parts.ts'

/** A ring with tenants `a` and `b`, a key each. */
async function ringOf(more: { adminKey?: string; auth?: 'on' | 'off' } = {}) {
  const store = new FakeDirectory()
  const clock = new StillClock()
  const ring = new KeyRing({ store, clock, ...more })
  const a = await ring.create({ tenantId: 'a' })
  const b = await ring.create({ tenantId: 'b', name: 'ci', scopes: ['jobs', 'admin'] })
  return { ring, store, clock, a, b }
}

const bearer = (text: string) => `Bearer ${text}`

describe('KeyRing', () => {
  it("knows a tenant by each tenant's key", async () => {
    const { ring, a, b } = await ringOf()

    expect(ring.authenticate(bearer(a.text))).toEqual({
      tenantId: 'a',
      scopes: ['jobs'],
      key: { id: a.row.id, expiresAt: null },
    })
    expect(ring.authenticate(bearer(b.text))).toEqual({
      tenantId: 'b',
      scopes: ['jobs', 'admin'],
      key: { id: b.row.id, expiresAt: null },
    })
  })

  it('takes the scheme in any case', async () => {
    const { ring, a } = await ringOf()

    expect(ring.authenticate(`bearer ${a.text}`)).not.toBeNull()
    expect(ring.authenticate(`BEARER  ${a.text}`)).not.toBeNull()
  })

  it('knows nobody without a good key', async () => {
    const { ring, a } = await ringOf({ adminKey: ADMIN_KEY })
    const stranger = await new KeyRing({ store: new FakeDirectory(), clock: new StillClock() }).create({
      tenantId: 'a',
    })

    for (const header of [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      a.text,
      `Basic ${a.text}`,
      `Bearer ${a.text} `,
      `Bearer ${a.text}x`,
      `Bearer ${a.text.slice(0, -1)}`,
      `Bearer ${a.text}, Bearer ${a.text}`,
      `Bearer ${stranger.text}`,
      `Bearer ${ADMIN_KEY}x`,
      `Bearer ${'x'.repeat(10_000)}`,
      'Bearer \u00e9',
    ])
      expect(ring.authenticate(header)).toBeNull()
  })

  it('keeps digests and no secrets', async () => {
    const { store, a } = await ringOf()

    const kept = JSON.stringify([...store.keyRows.values()])

    expect(kept).toContain(a.row.hash)
    expect(kept).not.toContain(a.text)
    expect(kept).not.toContain(a.text.split('_').slice(2).join('_').slice(0, 43))
  })

  it('refuses the digest in place of the key', async () => {
    const { ring, a } = await ringOf()

    expect(ring.authenticate(bearer(a.row.hash))).toBeNull()
  })

  it('refuses a key from the millisecond on that it expires', async () => {
    const { ring, clock } = await ringOf()
    const { text } = await ring.create({ tenantId: 'a', expiresAt: clock.now() + 1_000 })

    clock.advance(999)
    expect(ring.authenticate(bearer(text))).not.toBeNull()
    clock.advance(1)
    expect(ring.authenticate(bearer(text))).toBeNull()
  })

  it('refuses a revoked key at once, here and after a restart', async () => {
    const { ring, store, clock, a, b } = await ringOf()

    await ring.revoke('a', a.row.id)
    await ring.revoke('a', a.row.id)
    const restarted = new KeyRing({ store, clock })
    await restarted.load()

    for (const each of [ring, restarted]) {
      expect(each.authenticate(bearer(a.text))).toBeNull()
      expect(each.authenticate(bearer(b.text))).not.toBeNull()
    }
  })

  it('refuses a revoked key and ends its requests before the disk is asked, and however long that takes', async () => {
    const { ring, store, a } = await ringOf()
    // A session needs no more of a response than this.
    const session = new Session({ headersSent: false, writableEnded: false, destroy: () => undefined as never })
    ring.sessions.open(a.row.id, null, session)
    const written = Promise.withResolvers<void>()
    const put = store.putKey.bind(store)
    store.putKey = (row) => written.promise.then(() => put(row))

    const revoking = ring.revoke('a', a.row.id)
    expect([ring.authenticate(bearer(a.text)), session.over]).toEqual([null, true])
    expect(store.keyRows.get(a.row.id)?.revokedAt).toBeNull()
    written.resolve()
    await revoking

    expect(store.keyRows.get(a.row.id)?.revokedAt).not.toBeNull()
  })

  it('says when a revoked key is not on record, and puts it there when it is revoked again', async () => {
    const { ring, store, clock, a } = await ringOf()
    const put = store.putKey.bind(store)
    store.putKey = () => Promise.reject(new Error('disk full'))
    const { revokedAt: before } = ring.list('a')[0] ?? {}

    const refused = ring.revoke('a', a.row.id)
    await expect(refused).rejects.toThrow(OverloadedError)
    await expect(refused).rejects.toThrow(/useless here now, .* Revoke it again\.$/)
    const at = ring.list('a')[0]?.revokedAt
    expect([before, ring.authenticate(bearer(a.text)), store.keyRows.get(a.row.id)?.revokedAt]).toEqual([
      null,
      null,
      null,
    ])
    await expect(ring.revoke('a', a.row.id)).rejects.toThrow(OverloadedError)
    let writes = 0
    store.putKey = (row) => {
      writes++
      return put(row)
    }
    clock.advance(1_000)
    await ring.revoke('a', a.row.id)
    await ring.revoke('a', a.row.id)

    expect([writes, store.keyRows.get(a.row.id)?.revokedAt]).toEqual([1, at])
  })

  it('does not bring back the key of a tenant that was deleted before it could be written down', async () => {
    const { ring, store, a } = await ringOf()
    ring.disable('a', a.row.id)

    ring.forget('a')
    store.keyRows.delete(a.row.id)
    await ring.recordRevoked(a.row.id)

    expect(store.keyRows.has(a.row.id)).toBe(false)
  })

  it.each([-1_000, 0])('makes no key that ends %s ms from now', async (ms) => {
    const { ring, clock } = await ringOf()

    const made = ring.create({ tenantId: 'a', expiresAt: clock.now() + ms })

    await expect(made).rejects.toThrow(InvalidArgumentError)
    await expect(made).rejects.toMatchObject({ errors: [{ pointer: '/expiresAt' }] })
    expect(ring.list('a')).toHaveLength(1)
  })

  it("does not revoke another tenant's key, and does not say that there is one", async () => {
    const { ring, a, b } = await ringOf()

    await expect(ring.revoke('a', b.row.id)).rejects.toThrow(NotFoundError)
    await expect(ring.revoke('a', 'nope')).rejects.toThrow(NotFoundError)
    expect(ring.authenticate(bearer(b.text))).not.toBeNull()
    expect(ring.list('a').map(({ id }) => id)).toEqual([a.row.id])
  })

  it('lists the keys of a tenant from the oldest', async () => {
    const { ring, clock, a } = await ringOf()
    clock.advance(10)
    const second = await ring.create({ tenantId: 'a', name: 'second' })

    expect(ring.list('a')).toEqual([a.row, second.row])
    expect(ring.list('nobody')).toEqual([])
  })

  it('does not take a key that could not be stored', async () => {
    const { ring, store } = await ringOf()
    store.putKey = () => Promise.reject(new Error('disk full'))

    await expect(ring.create({ tenantId: 'c' })).rejects.toThrow('disk full')

    expect(ring.list('c')).toEqual([])
  })

  it('knows the admin by the admin key', async () => {
    const { ring } = await ringOf({ adminKey: ADMIN_KEY })

    expect(ring.authenticate(bearer(ADMIN_KEY))).toBe('admin')
  })

  it('has no admin without an admin key', async () => {
    const { ring } = await ringOf()

    expect(ring.authenticate('Bearer ')).toBeNull()
    expect(ring.authenticate(bearer(ADMIN_KEY))).toBeNull()
  })

  it('takes everybody for the tenant default when authentication is off, but for the admin', async () => {
    const { ring } = await ringOf({ adminKey: ADMIN_KEY, auth: 'off' })

    expect(ring.authenticate(undefined)).toEqual({ tenantId: 'default', scopes: ['jobs'], key: null })
    expect(ring.authenticate('Bearer whatever')).toEqual({ tenantId: 'default', scopes: ['jobs'], key: null })
    expect(ring.authenticate(bearer(ADMIN_KEY))).toBe('admin')
  })
})

describe('KeyRing.load', () => {
  it('makes the tenant default and a key on a first start', async () => {
    const store = new FakeDirectory()
    const ring = new KeyRing({ store, clock: new StillClock() })

    const text = await ring.load()

    expect(ring.authenticate(bearer(text ?? ''))).toMatchObject({ tenantId: 'default', scopes: ['jobs'] })
    expect([...store.tenantRows.keys()]).toEqual(['default'])
  })

  it('makes none on a second start, and takes the keys of the first', async () => {
    const store = new FakeDirectory()
    const clock = new StillClock()
    const text = await new KeyRing({ store, clock }).load()
    const ring = new KeyRing({ store, clock })

    expect(await ring.load()).toBeNull()
    expect(ring.authenticate(bearer(text ?? ''))).not.toBeNull()
  })

  it('makes no other key when all were revoked', async () => {
    const store = new FakeDirectory()
    const clock = new StillClock()
    const first = new KeyRing({ store, clock })
    await first.load()
    await first.revoke('default', first.list('default')[0]?.id ?? '')

    expect(await new KeyRing({ store, clock }).load()).toBeNull()
  })

  it('makes neither again when an operator has deleted the tenant with its keys', async () => {
    const store = new FakeDirectory()
    const clock = new StillClock()
    await new KeyRing({ store, clock }).load()
    store.drop('default')
    const ring = new KeyRing({ store, clock })

    expect([await ring.load(), await ring.first()]).toEqual([null, null])
    expect([store.tenantRows.size, store.keyRows.size]).toEqual([0, 0])
  })

  it('makes the key at the next start when this one ended before it was stored', async () => {
    const store = new FakeDirectory()
    const clock = new StillClock()
    const { putKey } = store
    store.putKey = () => Promise.reject(new Error('disk full'))
    await expect(new KeyRing({ store, clock }).load()).rejects.toThrow('disk full')
    store.putKey = putKey
    const ring = new KeyRing({ store, clock })

    const text = await ring.load()

    expect(ring.authenticate(bearer(text ?? ''))).toMatchObject({ tenantId: 'default' })
  })

  it('makes no second first key for whoever asks late', async () => {
    const ring = new KeyRing({ store: new FakeDirectory(), clock: new StillClock() })
    await ring.load({ first: false })

    expect([await ring.first(), await ring.first()]).toEqual([expect.stringMatching(/^gth_/), null])
  })

  it('makes the key where authentication was off before', async () => {
    const store = new FakeDirectory()
    const clock = new StillClock()
    await new KeyRing({ store, clock, auth: 'off' }).load()

    expect(await new KeyRing({ store, clock }).load()).toMatch(/^gth_/)
  })

  it('makes the tenant again when authentication is off: everybody is it', async () => {
    const store = new FakeDirectory()
    const clock = new StillClock()
    await new KeyRing({ store, clock }).load()
    store.drop('default')

    expect(await new KeyRing({ store, clock, auth: 'off' }).load()).toBeNull()
    expect([...store.tenantRows.keys()]).toEqual(['default'])
  })

  it('makes the tenant but no key when authentication is off', async () => {
    const store = new FakeDirectory()

    expect(await new KeyRing({ store, clock: new StillClock(), auth: 'off' }).load()).toBeNull()
    expect([...store.tenantRows.keys()]).toEqual(['default'])
    expect(store.keyRows.size).toBe(0)
  })

  it('leaves a tenant default that is there as it is', async () => {
    const store = new FakeDirectory()
    const row = { id: 'default', settings: { maxConcurrency: 3 }, createdAt: 5 }
    await store.putTenant(row)

    await new KeyRing({ store, clock: new StillClock() }).load()

    expect(store.tenantRows.get('default')).toEqual(row)
  })
})

/** A ring over a store in which another process makes keys. */
async function shared() {
  const store = new FakeDirectory()
  const clock = new StillClock()
  const ring = new KeyRing({ store, clock, shared: true })
  await ring.load({ first: false })
  const elsewhere = new KeyRing({ store, clock })
  store.reads = 0
  return { store, clock, ring, elsewhere }
}

describe('a ring of one process of several', () => {
  it('finds a key that another process made', async () => {
    const { ring, elsewhere } = await shared()
    const { text } = await elsewhere.create({ tenantId: 'a' })

    expect([ring.isUnheardOf(bearer(text)), ring.authenticate(bearer(text))]).toEqual([true, null])
    await ring.look()

    expect([ring.isUnheardOf(bearer(text)), ring.authenticate(bearer(text))?.valueOf()]).toEqual([
      false,
      expect.objectContaining({ tenantId: 'a' }),
    ])
  })

  it('looks for nothing that is no key of ours, that it knows, or where no key is needed', async () => {
    const { store, clock, ring, elsewhere } = await shared()
    const mine = await ring.create({ tenantId: 'a' })
    const theirs = await elsewhere.create({ tenantId: 'a' })
    const unshared = new KeyRing({ store: new FakeDirectory(), clock })
    const open = new KeyRing({ store, clock, shared: true, auth: 'off' })

    expect(
      [undefined, 'Bearer x', bearer(mine.text), bearer(`${theirs.text}x`)].map((h) => ring.isUnheardOf(h)),
    ).toEqual([false, false, false, false])
    expect([unshared.isUnheardOf(bearer(theirs.text)), open.isUnheardOf(bearer(theirs.text))]).toEqual([false, false])
  })

  it('looks once for all who ask together, and not again for a while', async () => {
    const { store, clock, ring, elsewhere } = await shared()

    await Promise.all([ring.look(), ring.look(), ring.look()])
    expect(store.reads).toBe(1)
    const { text } = await elsewhere.create({ tenantId: 'a' })
    const looks = [ring.look(), ring.look()]
    await Promise.resolve()
    clock.advance(199)
    await Promise.resolve()
    expect([store.reads, ring.authenticate(bearer(text))]).toEqual([1, null])
    clock.advance(1)
    await Promise.all(looks)

    expect([store.reads, ring.authenticate(bearer(text))]).toEqual([2, expect.objectContaining({ tenantId: 'a' })])
  })

  it('keeps what was made and what was revoked while it read', async () => {
    const { store, ring, elsewhere } = await shared()
    const { row, text } = await elsewhere.create({ tenantId: 'a' })
    await ring.reload()
    const before = await store.keys()
    const read = Promise.withResolvers<typeof before>()
    store.keys = () => read.promise

    const reloading = ring.reload()
    const made = await ring.create({ tenantId: 'a' })
    await ring.revoke('a', row.id)
    read.resolve(before)
    await reloading

    expect([ring.authenticate(bearer(text)), ring.authenticate(bearer(made.text))]).toEqual([
      null,
      expect.objectContaining({ tenantId: 'a' }),
    ])
  })

  it('makes one first key, whoever of them comes first', async () => {
    const { store, clock } = await shared()
    const rings = Array.from({ length: 3 }, () => new KeyRing({ store, clock, shared: true }))
    for (const ring of rings) await ring.load({ first: false })

    const made = await Promise.all(rings.map((ring) => ring.first()))

    expect(made.filter((text) => text !== null)).toHaveLength(1)
    expect(store.keyRows.size).toBe(1)
  })
})
