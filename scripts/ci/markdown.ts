/** How CI treats a shell block of the documentation: see scripts/readme-check.ts. */
export interface ShellBlock {
  how: 'run' | 'start' | 'service' | 'skip'
  /** What must appear in its output, or for `skip` the reason. */
  note: string
  code: string
  /** Of the fence, from 1. */
  line: number
}

const FENCE = /^(?<indent> *)```(?:sh|bash|shell|console)\b/
const MARKER = /^ *<!-- ci: (?<how>run|start|service|skip)(?::? +(?<note>.*?))? *-->$/

/** Every shell block of a Markdown text. @throws {Error} Naming each block without a marker, and each `skip` without a reason. */
export function shellBlocks(text: string): ShellBlock[] {
  const lines = text.split('\n')
  const blocks: ShellBlock[] = []
  const wrong: string[] = []
  for (let i = 0; i < lines.length; i++) {
    const fence = FENCE.exec(lines[i] ?? '')
    if (fence === null) continue
    const end = lines.findIndex((line, at) => at > i && line.trim() === '```')
    const { how, note = '' } = MARKER.exec(lines.slice(0, i).findLast((line) => line.trim() !== '') ?? '')?.groups ?? {}
    const code = lines.slice(i + 1, end).join('\n')
    if (how === undefined) wrong.push(`line ${i + 1}: no \`<!-- ci: … -->\` above the block`)
    else if (how === 'skip' && note === '') wrong.push(`line ${i + 1}: skip without a reason`)
    else if (isHow(how)) blocks.push({ how, note, code, line: i + 1 })
    i = end === -1 ? lines.length : end
  }
  if (wrong.length > 0) throw new Error(wrong.join('\n'))
  return blocks
}

function isHow(text: string): text is ShellBlock['how'] {
  return ['run', 'start', 'service', 'skip'].includes(text)
}
