/**
 * One number for each job of a batch, held once while all are the same: a batch of a million jobs with one
 * `timeoutMs` costs eight bytes for it, not eight million.
 */
export class Column {
  #length = 0
  #uniform = 0
  #values: Float64Array | null = null

  /** Add `count` jobs with the same value. */
  extend(count: number, value: number): void {
    if (this.#length === 0) this.#uniform = value
    else if (this.#values === null && value !== this.#uniform) this.#spread()
    this.#length += count
    this.#grow()
    this.#values?.fill(value, this.#length - count, this.#length)
  }

  get(index: number): number {
    return this.#values === null ? this.#uniform : this.#values[index]
  }

  set(index: number, value: number): void {
    if (this.get(index) === value) return
    this.#spread()
    if (this.#values !== null) this.#values[index] = value
  }

  /** True while every job has the same value. */
  get uniform(): boolean {
    return this.#values === null
  }

  #spread(): void {
    this.#values ??= new Float64Array(Math.max(8, this.#length)).fill(this.#uniform)
  }

  #grow(): void {
    if (this.#values === null || this.#values.length >= this.#length) return
    const grown = new Float64Array(Math.max(this.#length, this.#values.length * 2))
    grown.set(this.#values)
    this.#values = grown
  }
}

/** A byte for each job, grown by doubling and filled with zeros. */
export function grownBytes(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length >= length) return bytes
  const grown = new Uint8Array(bytes.length === 0 ? length : Math.max(length, bytes.length * 2))
  grown.set(bytes)
  return grown
}
