import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { SETTINGS } from '../../src/config.ts'

const README = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')

/** The lines of a table as cells are written in them, without the blanks that align them. */
function rowsOf(table: string): string[] {
  return table.split('\n').map((line) => line.replaceAll(/ *\| */g, '|').replaceAll(/-{3,}/g, '---'))
}

/** The table of the README, as it follows from src/config.ts: when this test fails, the README has to follow. */
function settingsTable(): string[] {
  const rows = SETTINGS.map(({ name, default: value, description }) => {
    const shown = value === null ? '–' : `\`${value}\``
    return `|\`${name}\`|${shown}|${description}|`
  })
  return ['|variable|default|what it does|', '|---|---|---|', ...rows]
}

describe('the README', () => {
  it('has the settings that the service has, with their defaults', () => {
    const [, table = ''] = /<!-- settings -->\n\n?([\s\S]*?)\n\n?<!-- \/settings -->/.exec(README) ?? []

    expect(rowsOf(table)).toEqual(settingsTable())
  })
})
