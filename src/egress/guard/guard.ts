import type { LookupAddress } from 'node:dns'
import { hasAuthority, hostOfUrl, plainAuthority, portOf } from '../url.ts'
import { checkUrl, type Malformed } from './check-url.ts'
import { type Denial, EgressDeniedError } from './denial.ts'
import { EgressPolicy } from './policy.ts'
import type { EgressRules, EgressSettings } from './settings.ts'

/** Told of every refusal that an attempt ran into: for the operator's log and for metrics. */
export type OnDenied = (facts: { tenantId: string; kind: Denial['kind']; detail: string }) => void

/** Authorities that are remembered. */
const REMEMBERED = 1_024

/** Where each tenant's fetches may go: the operator's policy, and what tenants' own rules leave of it. */
export class Guard {
  readonly #operator: EgressPolicy
  readonly #tenants = new Map<string, EgressPolicy>()
  readonly #onDenied: OnDenied
  /** The policy that let an authority out. */
  readonly #passed = new Map<string, EgressPolicy>()
  /** The one that was asked for last, and passed. */
  #last = { authority: '', policy: null as EgressPolicy | null }

  /** Without settings: public addresses only. @throws {EgressRulesError} naming every entry that cannot be used. */
  constructor(settings: EgressSettings = {}, onDenied: OnDenied = () => undefined) {
    this.#operator = new EgressPolicy(settings)
    this.#onDenied = onDenied
  }

  /** Replace a tenant's own rules; absent: it has none. Acts on the next connection. @throws {EgressRulesError} */
  narrow(tenantId: string, rules: EgressRules | undefined): void {
    if (rules === undefined) this.#tenants.delete(tenantId)
    else this.#tenants.set(tenantId, this.#operator.narrowed(rules))
  }

  policyOf(tenantId: string): EgressPolicy {
    return this.#tenants.get(tenantId) ?? this.#operator
  }

  /** What is known of a URL without resolving its name; see `checkUrl`. */
  checkUrl(tenantId: string, text: string, base?: URL): URL | Malformed | Denial {
    return checkUrl(text, this.policyOf(tenantId), base)
  }

  /**
   * Whether a well-formed absolute URL is known to be let out: a batch often has one host for all of its jobs. What is let out
   * depends on nothing but scheme, host and port, so the verdict on one URL is that on every other with the same ones.
   */
  passes(tenantId: string, text: string): boolean {
    const policy = this.policyOf(tenantId)
    if (this.#last.policy === policy && hasAuthority(text, this.#last.authority)) return true
    const authority = plainAuthority(text)
    if (authority === undefined) return this.checkUrl(tenantId, text) instanceof URL
    const passes = this.#passed.get(authority) === policy || this.checkUrl(tenantId, text) instanceof URL
    if (passes) this.#remember(authority, policy)
    return passes
  }

  #remember(authority: string, policy: EgressPolicy): void {
    if (this.#passed.size >= REMEMBERED) this.#passed.clear()
    this.#passed.set(authority, policy)
    this.#last = { authority, policy }
  }

  /** One connection's questions, each under the policy of when it is asked. @throws {EgressDeniedError} when the URL itself is refused. */
  passage(tenantId: string, url: URL): Passage {
    const policyOf = () => this.policyOf(tenantId)
    const passage = new Passage(policyOf, url, ({ kind, detail }) => this.#onDenied({ tenantId, kind, detail }))
    passage.begin()
    return passage
  }

  /** A refused URL of a redirect, as an error; told of like any other. */
  refuse(tenantId: string, denial: Denial): EgressDeniedError {
    const { kind, detail } = denial
    this.#onDenied({ tenantId, kind, detail })
    return new EgressDeniedError(denial)
  }
}

/** The way of one connection through the guard: the URL, the addresses of its name, and the address it is connected to. */
export class Passage {
  readonly target: { host: string; port: number }
  readonly #policyOf: () => EgressPolicy
  readonly #onDenied: (error: EgressDeniedError) => void

  /** @param policyOf - The policy of now: it may change between two questions. */
  constructor(policyOf: () => EgressPolicy, url: URL, onDenied: (error: EgressDeniedError) => void) {
    this.#policyOf = policyOf
    this.target = { host: hostOfUrl(url), port: portOf(url) }
    this.#onDenied = onDenied
  }

  /** The policy of now. */
  get policy(): EgressPolicy {
    return this.#policyOf()
  }

  /** Before a name is resolved. @throws {EgressDeniedError} */
  begin(): void {
    const denial = this.policy.check(this.target)
    if (denial === undefined) return
    const error = new EgressDeniedError(denial)
    this.#onDenied(error)
    throw error
  }

  /** Those of the host's addresses that may be connected to. @throws {EgressDeniedError} when there is none. */
  judge(addresses: LookupAddress[]): LookupAddress[] {
    return this.#tell(() => this.policy.judge(this.target, addresses))
  }

  /** The socket is connected: before its first byte, and once more before that of the request. @throws {EgressDeniedError} */
  recheck(remoteAddress: string | undefined): void {
    this.#tell(() => this.policy.recheck(this.target, remoteAddress))
  }

  #tell<T>(question: () => T): T {
    try {
      return question()
    } catch (error) {
      if (error instanceof EgressDeniedError) this.#onDenied(error)
      throw error
    }
  }
}
