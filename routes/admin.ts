import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { empty, json, KEYED, problems, WITH_BODY } from '../src/http/responses.ts'
import { sendJson } from '../src/http/splice.ts'
import { adminTenant, findTenant, keyView, settingsOf } from '../src/http/tenants.ts'
import { AdminTenantList, AdminTenantView, KeyList, NewKeyView } from '../src/schema/admin.ts'
import { KeyBody, KeyParams, NewTenantParams, NoQuery, TenantBody, TenantParams } from '../src/schema/requests.ts'
import type { RouteParts } from './parts.ts'

/** `/v1/admin/tenants`: tenants and their keys, for the operator. */
export const admin: FastifyPluginAsyncZod<RouteParts> = async (app, parts) => {
  listTenants(app, parts)
  readTenant(app, parts)
  putTenant(app, parts)
  createKey(app, parts)
  listKeys(app, parts)
  revokeKey(app, parts)
}

type App = Parameters<typeof admin>[0]

const COMMON = { tags: ['admin'], security: [{ key: [] }], querystring: NoQuery }

function listTenants(app: App, { engine, directory }: RouteParts): void {
  app.route({
    method: 'GET',
    url: '/v1/admin/tenants',
    config: { scope: 'admin' },
    schema: {
      ...COMMON,
      operationId: 'listTenants',
      summary: 'List all tenants',
      description: 'With their settings, their limits and what they use now.',
      response: { 200: json(AdminTenantList, 'The tenants.'), ...problems(...KEYED) },
    },
    async handler(_request, reply) {
      const rows = await directory.tenants()
      return sendJson(reply, JSON.stringify({ data: rows.map((row) => adminTenant(engine, row)) }))
    },
  })
}

function readTenant(app: App, { engine, directory }: RouteParts): void {
  app.route({
    method: 'GET',
    url: '/v1/admin/tenants/:tenantId',
    config: { scope: 'admin' },
    schema: {
      ...COMMON,
      operationId: 'readAnyTenant',
      summary: 'Read a tenant',
      description: 'Its settings, its limits and what it uses now.',
      params: TenantParams,
      response: { 200: json(AdminTenantView, 'The tenant.'), ...problems(...KEYED, 'not_found') },
    },
    async handler(request, reply) {
      const row = await findTenant(directory, request.params.tenantId)
      return sendJson(reply, JSON.stringify(adminTenant(engine, row)))
    },
  })
}

function putTenant(app: App, { engine, directory, clock }: RouteParts): void {
  app.route({
    method: 'PUT',
    url: '/v1/admin/tenants/:tenantId',
    config: { scope: 'admin' },
    schema: {
      ...COMMON,
      operationId: 'putTenant',
      summary: 'Create a tenant, or replace its settings',
      description: 'What is absent follows the service again. Limits act at once, on what runs as well.',
      params: NewTenantParams,
      body: TenantBody,
      response: {
        200: json(AdminTenantView, 'Replaced.'),
        201: json(AdminTenantView, 'Created.'),
        ...problems(...KEYED, ...WITH_BODY),
      },
    },
    async handler(request, reply) {
      const { tenantId: id } = request.params
      const before = (await directory.tenants()).find((row) => row.id === id)
      const row = { id, settings: settingsOf(request.body), createdAt: before?.createdAt ?? Math.floor(clock.now()) }
      await directory.putTenant(row)
      engine.applyTenant(id, row.settings)
      return sendJson(reply.code(before ? 200 : 201), JSON.stringify(adminTenant(engine, row)))
    },
  })
}

function createKey(app: App, { keys, directory }: RouteParts): void {
  app.route({
    method: 'POST',
    url: '/v1/admin/tenants/:tenantId/keys',
    config: { scope: 'admin' },
    schema: {
      ...COMMON,
      operationId: 'createKey',
      summary: 'Make a key',
      description: '`key` is shown this once and kept nowhere.',
      params: TenantParams,
      body: KeyBody,
      response: { 201: json(NewKeyView, 'Made.'), ...problems(...KEYED, ...WITH_BODY, 'not_found') },
    },
    async handler(request, reply) {
      const { id: tenantId } = await findTenant(directory, request.params.tenantId)
      const { name = null, scopes = ['jobs'], expiresAt } = request.body ?? {}
      const { row, text } = await keys.create({
        tenantId,
        name,
        scopes,
        expiresAt: expiresAt ? Date.parse(expiresAt) : null,
      })
      return sendJson(reply.code(201), JSON.stringify({ ...keyView(row), key: text }))
    },
  })
}

function listKeys(app: App, { keys, directory }: RouteParts): void {
  app.route({
    method: 'GET',
    url: '/v1/admin/tenants/:tenantId/keys',
    config: { scope: 'admin' },
    schema: {
      ...COMMON,
      operationId: 'listKeys',
      summary: "List a tenant's keys",
      description: 'Oldest first, revoked and expired ones included; never their secrets.',
      params: TenantParams,
      response: { 200: json(KeyList, 'The keys.'), ...problems(...KEYED, 'not_found') },
    },
    async handler(request, reply) {
      const { id } = await findTenant(directory, request.params.tenantId)
      return sendJson(reply, JSON.stringify({ data: keys.list(id).map(keyView) }))
    },
  })
}

function revokeKey(app: App, { keys }: RouteParts): void {
  app.route({
    method: 'DELETE',
    url: '/v1/admin/tenants/:tenantId/keys/:keyId',
    config: { scope: 'admin' },
    schema: {
      ...COMMON,
      operationId: 'revokeKey',
      summary: 'Revoke a key',
      description: 'At once and for good. May be said again.',
      params: KeyParams,
      response: { 204: empty('Revoked.'), ...problems(...KEYED, 'not_found') },
    },
    async handler(request, reply) {
      await keys.revoke(request.params.tenantId, request.params.keyId)
      return reply.code(204).send()
    },
  })
}
