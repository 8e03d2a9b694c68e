import { type ParseArgsConfig, parseArgs } from 'node:util'
import { SETTINGS } from '../config.ts'
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
    throw new ConfigError(`${complaint(error, options)}\n\n${help}`)
  }
}

/** Node's words, but for an unknown option: its advice about `--` helps nobody who mistook a setting for an option. */
function complaint(error: unknown, options: Options): string {
  const message = error instanceof Error ? error.message : String(error)
  const option = /^Unknown option '([^']+)'/.exec(message)?.[1]
  return option === undefined ? message : `Unknown option ${option}.${settingHint(option, options)}`
}

function settingHint(option: string, options: Options): string {
  const isServe = Object.keys(options).length === 0
  if (isServe) return ' Settings are environment variables, such as GATHERD_PORT=3001.'
  const name = `GATHERD_${option.replace(/^-+/, '').replaceAll('-', '_').toUpperCase()}`
  return SETTINGS.some((setting) => setting.name === name) ? ` ${name} is a setting: put it into the environment.` : ''
}
