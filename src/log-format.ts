import type { DestinationStream } from 'pino'

/** How lines of the log look: as JSON, for machines, or for somebody at a terminal. */
export type LogFormat = 'json' | 'pretty'

/** Where lines go. */
interface Output {
  write(text: string): unknown
  isTTY?: boolean
}

/**
 * Where a log in a format is written to: undefined for JSON, which goes as it is.
 *
 * @param format - Default: `pretty` where `out` is a terminal, else `json`.
 * @param env - `NO_COLOR` that is not empty: no colours (https://no-color.org), which only a terminal gets.
 */
export async function readable(
  format: LogFormat | undefined,
  out: Output,
  env: Readonly<Record<string, string | undefined>> = {},
): Promise<DestinationStream | undefined> {
  if ((format ?? (out.isTTY ? 'pretty' : 'json')) === 'json') return undefined
  const { prettyFactory } = (await import('pino-pretty')).default
  const colorize = (out.isTTY ?? false) && !env.NO_COLOR
  const options = { colorize, singleLine: true, translateTime: 'SYS:HH:MM:ss.l' } as const
  const pretty = prettyFactory(options)
  const answered = prettyFactory({ ...options, messageFormat: ANSWERED, ignore: 'status,method,route' })
  // In this process and at once: nothing is lost when it ends, and lines keep their order with what else is printed.
  return { write: (line) => void out.write((isAnswer(line) ? answered : pretty)(line)) }
}

/** What is looked for in the line of an answer, first. A request that matched no route has null, which is shown as nothing. */
const ANSWERED = '{status} {method} {if route}{route}{end}'

/** By the end of pino's line: in a value the quotes would be escaped. */
function isAnswer(line: string): boolean {
  return line.endsWith('"msg":"answered"}\n')
}
