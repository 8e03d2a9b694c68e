/** A systemd unit file by section and name; a name that stands several times has all its values, in order. */
export type Unit = Record<string, Record<string, string[]>>

/** Read a unit file. @throws {Error} At a line that systemd would not understand. */
export function parseUnit(text: string): Unit {
  const unit: Unit = {}
  let section: Record<string, string[]> | null = null
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '' || /^[#;]/.test(line)) continue
    const [, name] = /^\[(\w+)\]$/.exec(line) ?? []
    const [, key, value] = /^([A-Z][A-Za-z]*)=(.*)$/.exec(line) ?? []
    if (name !== undefined) section = unit[name] ??= {}
    else if (section !== null && key !== undefined && value !== undefined)
      section[key] = [...(section[key] ?? []), value]
    else throw new Error(`line ${i + 1} is no section, assignment or comment: ${line}`)
  }
  return unit
}
