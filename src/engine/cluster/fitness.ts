/** What a server says of itself, as far as it matters here; a field that it does not say is missing. */
export type ServerFacts = ReadonlyMap<string, string>

/** The oldest version that has all commands that are used: GETDEL came with it. */
const OLDEST = [6, 2] as const

/** The facts in an answer to INFO, by their names, such as `redis_version`. */
export function factsOf(info: string): ServerFacts {
  const lines = info.split(/\r?\n/).filter((line) => /^[a-z_\d]+:/.test(line))
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]))
}

/** Why replicas cannot share this server, to follow "cannot be used: "; null: they can. */
export function unfitness(facts: ServerFacts): string | null {
  // Valkey says as well which Redis it is like.
  const version = facts.get('redis_version')
  if (version !== undefined && isOlder(version, OLDEST))
    return `it is version ${version}, and ${OLDEST.join('.')} is the oldest that will do`
  if (facts.get('redis_mode') === 'cluster') return 'it is a node of a Redis Cluster, and a single primary is needed'
  if (facts.get('role') === 'slave') return 'it is a read-only replica, and the primary is needed'
  return null
}

/** What could make this server lose what it was told, each as a sentence. */
export function risksOf(facts: ServerFacts): string[] {
  const risks: string[] = []
  const policy = facts.get('maxmemory_policy') ?? 'noeviction'
  if (policy !== 'noeviction')
    risks.push(`maxmemory-policy is ${policy}: a full server deletes keys. Set it to noeviction.`)
  if (facts.get('aof_enabled') === '0')
    risks.push('appendonly is no: a server that dies has lost all since its last snapshot. Set it to yes.')
  return risks
}

function isOlder(version: string, [major, minor]: typeof OLDEST): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number)
  return ownMajor < major || (ownMajor === major && ownMinor < minor)
}
