import { type CommonSpec, JobError, type JobKind } from '../../jobs/kind.ts'
import type { Safe } from '../../secrets/safe.ts'
import type { Vault } from '../../secrets/vault.ts'
import { type Path, valueAt, withValue } from './paths.ts'

/** What whoever runs the service should hear of. */
export interface SealEvents {
  /** A job has a secret that none of the keys opens; said once of a batch, for the first such job. */
  secretUnreadable(facts: { batchId: string; index: number }): void
}

/** Turns specs into the text that is kept of them, and back: what their kinds call secret is sealed in it. */
export class Sealer {
  readonly #vault: Vault
  readonly #kinds: ReadonlyMap<string, JobKind>
  readonly #events: SealEvents

  constructor(options: { vault: Vault; kinds: ReadonlyMap<string, JobKind>; events: SealEvents }) {
    this.#vault = options.vault
    this.#kinds = options.kinds
    this.#events = options.events
  }

  /** For the specs of one batch: what is sealed in them, no other batch opens. */
  batch(batchId: string): BatchSealer {
    return new BatchSealer({
      safe: this.#vault.safe(`specs ${batchId}`),
      kinds: this.#kinds,
      onUnreadable: (index) => this.#events.secretUnreadable({ batchId, index }),
    })
  }
}

/** The field of a kept spec with what was taken out of it: `[path, sealed][]`. */
const SEALED = '$sealed'

/** A spec as it is kept: null where its secrets were. */
type KeptSpec = CommonSpec & { [SEALED]?: [Path, string][] }

/** What is opened is remembered if it is short, a few of it: most jobs of a batch have the same secret. */
const REMEMBERED = 4
const REMEMBERED_CHARS = 1_024

/** See {@link Sealer}. */
export class BatchSealer {
  readonly #safe: Safe
  readonly #kinds: ReadonlyMap<string, JobKind>
  readonly #onUnreadable: (index: number) => void
  /** Texts by what they were sealed as, and where. */
  readonly #opened = new Map<string, string>()
  #warned = false

  constructor(options: {
    safe: Safe
    kinds: ReadonlyMap<string, JobKind>
    onUnreadable: (index: number) => void
  }) {
    this.#safe = options.safe
    this.#kinds = options.kinds
    this.#onUnreadable = options.onUnreadable
  }

  /** Specs as JSON. A secret is sealed for this batch, its place in the spec and the job's target host; once for all jobs alike. */
  write(specs: readonly CommonSpec[]): string[] {
    const sealed = new Map<string, string>()
    return specs.map((spec) => JSON.stringify(this.#kept(spec, sealed)))
  }

  /**
   * The spec that `write` wrote for the job at an index; of a kind that is not loaded, as it is kept.
   * @throws {JobError} `secret_unreadable` when a secret in it was sealed under another key, or for another place.
   */
  read(text: string, index: number): CommonSpec {
    // Written by `write`.
    const written = JSON.parse(text) as KeptSpec
    // As it is: to take the field out of it copies it, which costs more than all else here.
    if (written[SEALED] === undefined) return written
    const { [SEALED]: sealed, ...kept } = written
    const kind = this.#kinds.get(kept.kind)
    if (kind === undefined) return kept
    const target = targetOf(kind, kept)
    let spec: CommonSpec = kept
    for (const [path, value] of sealed) {
      const opened = this.#open(value, placeOf(target, path))
      if (opened === null) throw this.#unreadable(index)
      spec = withValue(spec, path, JSON.parse(opened))
    }
    return spec
  }

  #kept(spec: CommonSpec, sealed: Map<string, string>): KeptSpec {
    const kind = this.#kinds.get(spec.kind)
    const paths = secretsOf(kind, spec)
    if (kind === undefined || paths.length === 0) return spec
    let kept = spec
    for (const path of paths) kept = withValue(kept, path, null)
    const target = targetOf(kind, kept)
    const entries = paths.map((path): [Path, string] => {
      const place = placeOf(target, path)
      const value = JSON.stringify(valueAt(spec, path))
      return [path, remembered(sealed, `${place} ${value}`, () => this.#safe.seal(value, place))]
    })
    return { ...kept, [SEALED]: entries }
  }

  #open(sealed: string, place: string): string | null {
    const entry = `${place} ${sealed}`
    const known = this.#opened.get(entry)
    if (known !== undefined) return known
    const opened = this.#safe.open(sealed, place)
    if (opened !== null && entry.length <= REMEMBERED_CHARS) {
      if (this.#opened.size >= REMEMBERED) this.#opened.clear()
      this.#opened.set(entry, opened)
    }
    return opened
  }

  #unreadable(index: number): JobError {
    if (!this.#warned) this.#onUnreadable(index)
    this.#warned = true
    return new JobError(
      'SecretError',
      'secret_unreadable',
      "The job's secrets cannot be read: the key of the service was lost or replaced.",
    )
  }
}

/** What a spec has that its kind calls secret; and a field of our own name, which a kind that takes any field may let in. */
function secretsOf(kind: JobKind | undefined, spec: CommonSpec): Path[] {
  const named = kind?.secrets?.(spec) ?? []
  return [...named, [SEALED]].filter((path) => valueAt(spec, path) != null)
}

/** Who gets the secrets of a job. It is what the kept spec says: they have no say in it themselves. */
function targetOf(kind: JobKind, kept: CommonSpec): string {
  return JSON.stringify([kind.name, kind.hostOf?.(kept) ?? null])
}

/** Where a secret may be opened. */
function placeOf(target: string, path: Path): string {
  return `${target} ${JSON.stringify(path)}`
}

function remembered(memory: Map<string, string>, entry: string, make: () => string): string {
  const known = memory.get(entry)
  if (known !== undefined) return known
  const made = make()
  memory.set(entry, made)
  return made
}
