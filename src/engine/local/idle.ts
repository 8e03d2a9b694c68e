import type { Tenant } from './tenants.ts'

/** Those who wait for the last attempt, of one tenant's or of all. */
export class Idle {
  readonly #isBusy: (tenant: Tenant | undefined) => boolean
  #waiting: { tenant: Tenant | undefined; resolve(): void }[] = []

  /** @param isBusy - Whether an attempt of a tenant's runs, or, of no tenant in particular, any. */
  constructor(isBusy: (tenant: Tenant | undefined) => boolean) {
    this.#isBusy = isBusy
  }

  /** Resolves when no attempt runs, of one tenant's or at all. */
  wait(tenant?: Tenant): Promise<void> {
    if (!this.#isBusy(tenant)) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ tenant, resolve }))
  }

  /** An attempt has ended. */
  look(): void {
    if (this.#waiting.length === 0) return
    const done = this.#waiting.filter(({ tenant }) => !this.#isBusy(tenant))
    this.#waiting = this.#waiting.filter((each) => !done.includes(each))
    for (const { resolve } of done) resolve()
  }
}
