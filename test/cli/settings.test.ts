import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { SETTINGS } from '../../src/config.ts'

const README = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')

/** The table of the README, as it follows from src/config.ts. When this test fails, paste what it expected there. */
function settingsTable(): string {
  const rows = SETTINGS.map(({ name, default: value, description }) => {
    const shown = value === null ? '–' : `\`${value}\``
    return `| \`${name}\` | ${shown} | ${description.replaceAll('|', '\\|')} |`
  })
  return ['| variable | default | what it does |', '|---|---|---|', ...rows].join('\n')
}

describe('the README', () => {
  it('has the settings that the service has, with their defaults', () => {
    const [, table] = /<!-- settings -->\n([\s\S]*?)\n<!-- \/settings -->/.exec(README) ?? []

    expect(table).toBe(settingsTable())
  })
})
