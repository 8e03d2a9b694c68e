/** Canonical names, and what is under them. */
export class Domains {
  readonly #names: ReadonlySet<string>
  /** Characters of the longest name: no longer end of a name has to be looked at. */
  readonly #longest: number

  constructor(names: Iterable<string>) {
    this.#names = new Set(names)
    this.#longest = Math.max(0, ...Array.from(this.#names, (name) => name.length))
  }

  /** Whether a name is one of them. */
  has(name: string): boolean {
    return this.#names.has(name)
  }

  /** Whether a name is under one of them, on a label border: `a.svc.corp` is under `svc.corp`, which is not under itself. */
  hasAbove(name: string): boolean {
    const end = name.length - 1 - this.#longest
    for (let dot = name.lastIndexOf('.'); dot > 0 && dot >= end; dot = name.lastIndexOf('.', dot - 1))
      if (this.#names.has(name.slice(dot + 1))) return true
    return false
  }
}
