import { type ParseArgsConfig, parseArgs } from 'node:util'
import { ConfigError } from '../errors.ts'
import type { Io } from './io.ts'

type Options = NonNullable<ParseArgsConfig['options']>
type Parsed<T extends Options> = ReturnType<typeof parseArgs<{ options: T; allowPositionals: true; strict: true }>>

/**
 * The options and positionals of a command, or null when `--help` was asked for and shown.
 * @throws {ConfigError} for an unknown option, with the help to look at.
 */
export function parsed<const T extends Options>(io: Io, help: string, options: T): Parsed<T> | null {
  if (io.args.includes('--help') || io.args.includes('-h')) {
    io.stdout.write(help)
    return null
  }
  try {
    return parseArgs({ args: io.args, options, allowPositionals: true, strict: true })
  } catch (error) {
    throw new ConfigError(`${error instanceof Error ? error.message : String(error)}\n\n${help}`)
  }
}
