/** What the database said of a call, or what it holds instead of what was written. It names places, and quotes no values. */
export class StoreError extends Error {}
