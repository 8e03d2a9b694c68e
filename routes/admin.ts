import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { empty, json, KEYED, problems, WITH_BODY } from '../src/http/responses.ts'
import { sendJson } from '../src/http/splice.ts'
import { adminTenant, findTenant, keyView, TenantDesk } from '../src/http/tenants.ts'
import { AdminTenantList, AdminTenantView, KeyList, NewKeyView } from '../src/schema/admin.ts'
import { KeyBody, KeyParams, NewTenantParams, NoQuery, TenantParams } from '../src/schema/requests.ts'
import type { RouteParts } from './parts.ts'

/** `/v1/admin/tenants`: tenants and their keys, for the operator. */
export const admin: FastifyPluginAsyncZod<RouteParts> = async (app, parts) => {
  const desk = new TenantDesk(parts)
  listTenants(app, parts)
  readTenant(app, parts)
  putTenant(app, parts, desk)
  patchTenant(app, parts, desk)
  deleteTenant(app, desk)
  createKey(app, desk)
  listKeys(app, parts)
  revokeKey(app, desk)
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
      return sendJson(reply, JSON.stringify({ data: await Promise.all(rows.map((row) => adminTenant(engine, row))) }))
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
      return sendJson(reply, JSON.stringify(await adminTenant(engine, row)))
    },
  })
}

function putTenant(app: App, { engine, bodies }: RouteParts, desk: TenantDesk): void {
  app.route({
    method: 'PUT',
    url: '/v1/admin/tenants/:tenantId',
    config: { scope: 'admin' },
    schema: {
      ...COMMON,
      operationId: 'putTenant',
      summary: 'Create a tenant, or replace its settings',
      description:
        'What is absent follows the service again. Limits act at once, on what runs as well; `egress` acts on the next connection.',
      params: NewTenantParams,
      body: bodies.tenant,
      response: {
        200: json(AdminTenantView, 'Replaced.'),
        201: json(AdminTenantView, 'Created.'),
        ...problems(...KEYED, ...WITH_BODY, 'overloaded'),
      },
    },
    async handler(request, reply) {
      const { row, isNew } = await desk.put(request.params.tenantId, request.body)
      return sendJson(reply.code(isNew ? 201 : 200), JSON.stringify(await adminTenant(engine, row)))
    },
  })
}

function patchTenant(app: App, { engine, bodies }: RouteParts, desk: TenantDesk): void {
  app.route({
    method: 'PATCH',
    url: '/v1/admin/tenants/:tenantId',
    config: { scope: 'admin' },
    schema: {
      ...COMMON,
      operationId: 'patchTenant',
      summary: "Change some of a tenant's settings",
      description: [
        'What is absent stays as it is, within `rate` and `egress` too; null follows the service again. A list replaces the one that was',
        'there. Acts at once, on what runs as well.',
      ].join(' '),
      params: TenantParams,
      body: bodies.tenant,
      response: {
        200: json(AdminTenantView, 'Changed.'),
        ...problems(...KEYED, ...WITH_BODY, 'not_found', 'overloaded'),
      },
    },
    async handler(request, reply) {
      const row = await desk.patch(request.params.tenantId, request.body)
      return sendJson(reply, JSON.stringify(await adminTenant(engine, row)))
    },
  })
}

function deleteTenant(app: App, desk: TenantDesk): void {
  app.route({
    method: 'DELETE',
    url: '/v1/admin/tenants/:tenantId',
    config: { scope: 'admin' },
    schema: {
      ...COMMON,
      operationId: 'deleteTenant',
      summary: 'Delete a tenant, its keys and all its work',
      description: [
        `At once and for good: what runs of it is stopped, what is queued never starts, its keys are no keys any more, and its batches`,
        `are found by nobody. Its data is deleted after the answer, in small steps. A new tenant of the same name can begin`,
        `at once and sees nothing of it. A key cannot delete its own tenant.`,
      ].join(' '),
      params: TenantParams,
      response: { 204: empty('Deleted.'), ...problems(...KEYED, 'not_found', 'tenant_in_use', 'overloaded') },
    },
    async handler(request, reply) {
      await desk.remove(request.params.tenantId, request.tenantId)
      return reply.code(204).send()
    },
  })
}

function createKey(app: App, desk: TenantDesk): void {
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
      response: { 201: json(NewKeyView, 'Made.'), ...problems(...KEYED, ...WITH_BODY, 'not_found', 'overloaded') },
    },
    async handler(request, reply) {
      const { row, text } = await desk.createKey(request.params.tenantId, request.body)
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

function revokeKey(app: App, desk: TenantDesk): void {
  app.route({
    method: 'DELETE',
    url: '/v1/admin/tenants/:tenantId/keys/:keyId',
    config: { scope: 'admin' },
    schema: {
      ...COMMON,
      operationId: 'revokeKey',
      summary: 'Revoke a key',
      description: [
        'At once and for good: open streams and waits of the key end. What it submitted goes on. May be said again, and must be after a 503:',
        'the key is useless here by then, but that is not on record.',
      ].join(' '),
      params: KeyParams,
      response: { 204: empty('Revoked.'), ...problems(...KEYED, 'not_found', 'overloaded') },
    },
    async handler(request, reply) {
      await desk.revokeKey(request.params.tenantId, request.params.keyId, request.session)
      return reply.code(204).send()
    },
  })
}
