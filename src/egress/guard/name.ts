import { type Denial, denied } from './denial.ts'
import { Domains } from './domains.ts'

const MAX_NAME_LENGTH = 253
/** As host names have them (RFC 1123, 2.1), and the underscore that is seen in many. */
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

/**
 * Names that only a private network, this machine or a search list can answer for; each with all names under it: the never delegated
 * of RFC 6761, RFC 6762 (appendix G), RFC 7686 and RFC 8375, and those that hosts files, Kubernetes and Consul have.
 */
const LOCAL = new Domains([
  ...['localhost', 'localdomain', 'localdomain4', 'localdomain6', 'local', 'home.arpa', 'onion'],
  ...['internal', 'intranet', 'private', 'corp', 'home', 'lan'],
  ...['svc', 'kubernetes.default', 'consul'],
])

/** Names of clouds' metadata services; each with all names under it. Their addresses are refused as well. */
const METADATA = new Domains([
  ...['metadata', 'metadata.google.internal', 'metadata.goog'],
  ...['instance-data', 'instance-data.ec2.internal'],
  ...['metadata.azure.internal', 'metadata.tencentyun.com', 'metadata.packet.net', 'metadata.platformequinix.com'],
])

/** One spelling for one name: lower case, without the dot of the root. */
export function canonicalName(name: string): string {
  return name.toLowerCase().replace(/\.$/, '')
}

/** Whether a canonical name is one that hosts have. */
export function isHostName(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH && name.split('.').every((label) => LABEL.test(label))
}

/** The refusal of a canonical name that is local, or a metadata service's. */
export function checkName(name: string): Denial | undefined {
  if (isMetadataName(name)) return denied('metadata', `${name} is a cloud's metadata service`)
  if (isIn(LOCAL, name)) return denied('name', `${name} is a local name`)
  return name.includes('.') ? undefined : denied('name', `${name} has no dot: only a search list can answer for it`)
}

/** Whether a canonical name is that of a cloud's metadata service, or under it. */
export function isMetadataName(name: string): boolean {
  return isIn(METADATA, name)
}

function isIn(domains: Domains, name: string): boolean {
  return domains.has(name) || domains.hasAbove(name)
}
