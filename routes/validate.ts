import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { emptyBody } from '../src/http/body.ts'
import { json, KEYED, problems, SHED, WITH_BODY } from '../src/http/responses.ts'
import { sendJson } from '../src/http/splice.ts'
import { documentationOnly } from '../src/http/validator.ts'
import { NoQuery } from '../src/schema/requests.ts'
import { ValidationView, validated, validationView } from '../src/schema/validation.ts'
import type { RouteParts } from './parts.ts'

/** `/v1/batches/validate`: a submission that is none. */
export const validate: FastifyPluginAsyncZod<RouteParts> = async (app, { engine, jobSchema, bodies }) => {
  app.route({
    method: 'POST',
    url: '/v1/batches/validate',
    config: { scope: 'jobs' },
    validatorCompiler: documentationOnly,
    schema: {
      operationId: 'validateBatch',
      summary: 'Say what would come of a submission',
      description: [
        'A dry run: takes the body of a submission and says of each job whether it is valid, whether it may go where it wants to, and what',
        'would hold it back now. Nothing is accepted, stored, resolved or sent, and it takes no place in the queue (it counts as a request).',
        'What the whole is refused for is a problem here as it is there: JSON that is malformed, a batch that could never fit, a service that',
        'takes no work. Wrong fields, and a queue that is full now, are in the answer.',
      ].join(' '),
      tags: ['batches'],
      security: [{ key: [] }],
      querystring: NoQuery,
      body: bodies.batch,
      response: {
        200: json(ValidationView, 'What would come of it, valid or not.'),
        ...problems(...KEYED, ...WITH_BODY, ...SHED, 'batch_too_large', 'shutting_down'),
      },
    },
    async handler(request, reply) {
      const { body, tenantId } = request
      if (body === undefined) throw emptyBody()
      const { batch, errors } = validated(body, jobSchema, engine.tenant(tenantId))
      const forecast = batch && (await engine.forecast(tenantId, batch))
      return sendJson(reply, JSON.stringify(validationView(body, jobSchema, { errors, forecast })))
    },
  })
}
