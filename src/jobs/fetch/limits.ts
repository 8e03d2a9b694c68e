/** The caps of a fetch. Each is a setting; the numbers of the OpenAPI document come from here. */
export interface FetchLimits {
  /** Bytes of a decoded body; the most that `maxResponseBytes` may ask for, and its default. */
  maxResponseBytes: number
  /** Bytes of response bodies as they come over the wire, all hops together. */
  maxWireBytes: number
  /** Bytes of a request body. */
  maxRequestBytes: number
  /** Header lines of a response. Their bytes are capped where the connection is made. */
  maxResponseHeaders: number
  /** Milliseconds from sending a request to the end of its response's headers. */
  headersTimeoutMs: number
  /** Milliseconds in which nothing of a body comes while it is waited for. 0: any number. */
  idleTimeoutMs: number
}

/** 10 MiB decoded, 12 MiB on the wire, 1 MiB to send, 128 header lines, 15 s to the headers, 60 s between two parts of a body. */
export const DEFAULT_FETCH_LIMITS: Readonly<FetchLimits> = {
  maxResponseBytes: 10 * 1024 * 1024,
  maxWireBytes: 12 * 1024 * 1024,
  maxRequestBytes: 1024 * 1024,
  maxResponseHeaders: 128,
  headersTimeoutMs: 15_000,
  idleTimeoutMs: 60_000,
}
