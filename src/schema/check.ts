import type { z } from 'zod'
import { MAX_JSON_DEPTH } from '../contract.ts'
import { type FieldError, InvalidArgumentError } from '../errors.ts'
import { findUnclean } from './hygiene.ts'
import { detailOf, fieldErrors } from './issues.ts'
import { MAX_FIELD_ERRORS } from './limits.ts'
import { pointerOf } from './pointer.ts'

/** The wrong fields of one request, in the order found; keeps at most {@link MAX_FIELD_ERRORS}. */
export class Findings {
  readonly #errors: FieldError[] = []
  readonly #refusals = new Map<string, number>()
  #cut = false

  /** True when nothing more needs to be looked for: the answer would not name it. */
  get full(): boolean {
    return this.#errors.length >= MAX_FIELD_ERRORS
  }

  /** Whether this field was found wrong. */
  has(pointer: string): boolean {
    return this.#errors.some((error) => error.pointer === pointer)
  }

  /** Add what was found. */
  add(errors: readonly FieldError[]): void {
    for (const error of errors) {
      if (this.full) this.#cut = true
      else this.#errors.push(error)
    }
  }

  /** A destination is refused, by this kind of rule: told to the operator only, whatever is added of it. */
  refuse(kind: string): void {
    this.#refusals.set(kind, (this.#refusals.get(kind) ?? 0) + 1)
  }

  /** @throws {InvalidArgumentError} when anything was found; its last entry says so when more was cut off. */
  throwIfAny(): void {
    if (this.#errors.length === 0) return
    const detail = `Only the first ${MAX_FIELD_ERRORS} wrong fields are named; there may be more.`
    const errors = this.#cut || this.full ? [...this.#errors, { pointer: '', detail }] : this.#errors
    throw new InvalidArgumentError(errors, this.#refusals)
  }
}

/** `value` as the schema gives it back, or undefined with what is wrong added to `findings`. */
export function examine<S extends z.ZodType>(
  schema: S,
  value: unknown,
  findings: Findings,
  base: readonly PropertyKey[] = [],
): z.output<S> | undefined {
  const result = schema.safeParse(value, { error: detailOf })
  if (result.success) return result.data
  findings.add(fieldErrors(result.error.issues, base))
  return undefined
}

/**
 * `value` as the schema gives it back.
 * @param base - Where the value is in the request, before each pointer.
 * @throws {InvalidArgumentError} naming every wrong field, those with unclean text included.
 */
export function check<S extends z.ZodType>(schema: S, value: unknown, base: readonly PropertyKey[] = []): z.output<S> {
  const findings = new Findings()
  const unclean = findUnclean(value, { maxDepth: MAX_JSON_DEPTH, maxErrors: MAX_FIELD_ERRORS })
  findings.add(unclean.map((error) => ({ ...error, pointer: pointerOf(base) + error.pointer })))
  return finish(findings, examine(schema, value, findings, base))
}

/** As {@link check}, for text that only has to be found or not: any will do that the schema takes. */
export function checkForm<S extends z.ZodType>(schema: S, value: unknown, base: readonly PropertyKey[]): z.output<S> {
  const findings = new Findings()
  return finish(findings, examine(schema, value, findings, base))
}

function finish<T>(findings: Findings, checked: T | undefined): T {
  findings.throwIfAny()
  // Nothing was found, so `examine` gave the schema's output.
  return checked as T
}
