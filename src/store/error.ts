/** What the database said of a call, or what it holds instead of what was written. It names places, and quotes no values. */
export class StoreError extends Error {}

/** A commit of which the writes of some tenants failed; all that it had of the others is written. */
export class TenantsNotWrittenError extends StoreError {
  /** Of those something may not have been written. */
  readonly tenantIds: ReadonlySet<string>

  /** @param cause - Why it failed for one of them, or for all. */
  constructor(tenantIds: ReadonlySet<string>, cause: Error) {
    super(cause.message, { cause })
    this.tenantIds = tenantIds
  }
}
