import { z } from 'zod'
import { parseAddressEntry } from '../egress/guard/entries.ts'
import { BadEntryError } from '../egress/guard/range.ts'
import { type EntryProblem, findProblems } from '../egress/guard/settings.ts'
import { choice, whole } from './forms.ts'

/** A list with commas between its entries; `wrong` says what is wrong with some. */
const list = (wrong: (entries: string[]) => string[]) =>
  z
    .string()
    .transform((text) => text.split(',').map((entry) => entry.trim()))
    .superRefine((entries, context) => {
      for (const message of wrong(entries)) context.addIssue({ code: 'custom', message: `has an entry ${message}` })
    })
    .default([])

const rules = (field: EntryProblem['field']) =>
  list((entries) =>
    findProblems({ [field]: entries }).map(({ detail }) => `that cannot be used: ${detail.replace(/\.$/, '')}`),
  )

/** Name servers: addresses, with a port or without. */
const servers = list((entries) =>
  entries.flatMap((entry) => (isServer(entry) ? [] : [`that is no address[:port]: "${entry}"`])),
)

function isServer(entry: string): boolean {
  try {
    return !entry.includes('/') && parseAddressEntry(entry) !== undefined
  } catch (error) {
    if (error instanceof BadEntryError) return false
    throw error
  }
}

/** What fetches may reach, and what they may cost: as the table of `config.ts`. */
export const EGRESS_TABLE = {
  egressMode: [
    'GATHERD_EGRESS_MODE',
    choice(['public', 'allow-list']).default('public'),
    '`public`: fetches reach public addresses and what is allowed; `allow-list`: only what is allowed.',
  ],
  egressAllow: [
    'GATHERD_EGRESS_ALLOW',
    rules('allow'),
    'Addresses and networks, with a port or without, that may be fetched from as well: `10.1.0.0/16,10.9.9.9:9000`.',
  ],
  egressAllowHosts: [
    'GATHERD_EGRESS_ALLOW_HOSTS',
    rules('allowHosts'),
    'Host names that may be fetched from, wherever they lead: `app.corp,*.svc.corp`.',
  ],
  egressDeny: [
    'GATHERD_EGRESS_DENY',
    rules('deny'),
    'Addresses and networks that may not; goes before what is allowed.',
  ],
  egressDenyHosts: ['GATHERD_EGRESS_DENY_HOSTS', rules('denyHosts'), 'Host names that may not; goes before as well.'],
  egressNat64: [
    'GATHERD_EGRESS_NAT64',
    rules('nat64'),
    'Prefixes of NAT64 translators: an address under one is judged as the IPv4 address inside.',
  ],
  egressDns: ['GATHERD_EGRESS_DNS', servers, 'Name servers, `address[:port]`; unset: those of the system.'],
  egressConnectTimeoutMs: [
    'GATHERD_EGRESS_CONNECT_TIMEOUT_MS',
    whole(1, 600_000, 5_000),
    'How long a name, TCP and TLS may take together, in milliseconds.',
  ],
  egressHeadersTimeoutMs: [
    'GATHERD_EGRESS_HEADERS_TIMEOUT_MS',
    whole(1, 3_600_000, 15_000),
    "How long a response's headers may take, in milliseconds.",
  ],
  egressIdleTimeoutMs: [
    'GATHERD_EGRESS_IDLE_TIMEOUT_MS',
    whole(0, 3_600_000, 60_000),
    "How long nothing more of a response's body may come, in milliseconds; 0: for ever.",
  ],
  egressMaxResponseBytes: [
    'GATHERD_EGRESS_MAX_RESPONSE_BYTES',
    whole(0, 1_073_741_824, 10_485_760),
    'The largest response body of a fetch, decoded, in bytes.',
  ],
  egressMaxWireBytes: [
    'GATHERD_EGRESS_MAX_WIRE_BYTES',
    whole(0, 1_073_741_824, 12_582_912),
    'What the response bodies of a fetch may have over the wire, redirects included, in bytes.',
  ],
  egressMaxInflightBytes: [
    'GATHERD_EGRESS_MAX_INFLIGHT_BYTES',
    whole(0, Number.MAX_SAFE_INTEGER, 268_435_456),
    'What the response bodies of all running fetches may have in memory together, in bytes.',
  ],
  egressMaxRequestBytes: [
    'GATHERD_EGRESS_MAX_REQUEST_BYTES',
    whole(0, 1_073_741_824, 1_048_576),
    'The largest request body of a fetch, in bytes.',
  ],
  egressMaxHeaderBytes: [
    'GATHERD_EGRESS_MAX_HEADER_BYTES',
    whole(1_024, 1_048_576, 16_384),
    'The largest head of a response, in bytes.',
  ],
  egressMaxHeaders: ['GATHERD_EGRESS_MAX_HEADERS', whole(1, 10_000, 128), 'The most header lines of a response.'],
} as const satisfies Record<string, readonly [variable: string, schema: z.ZodType, description: string]>
