/** One instruction of a Dockerfile: its name in capitals and what follows, continuation lines joined. */
export interface Instruction {
  name: string
  rest: string
}

/** The instructions of a Dockerfile in order, without comments. Here-documents and parser directives are not known. */
export function parseDockerfile(text: string): Instruction[] {
  return text
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
    .join('\n')
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => {
      const [, name = '', rest = ''] = /^(\S+)\s+(.*)$/.exec(line) ?? []
      return { name: name.toUpperCase(), rest: rest.trim() }
    })
}

/** The words of an exec form, `["node", "x"]`. @throws {Error} For the shell form: there a shell, not the program, gets the signals. */
export function execForm(text: string): string[] {
  const words: unknown = text.startsWith('[') ? JSON.parse(text) : null
  if (!Array.isArray(words) || !words.every((word) => typeof word === 'string')) {
    throw new Error(`not in exec form: ${text}`)
  }
  return words
}

/** `A=1 B="two words"` as a record. */
export function parseEnv(rest: string): Record<string, string> {
  const pairs = rest.matchAll(/(\w+)=(?:"([^"]*)"|(\S*))/g)
  return Object.fromEntries([...pairs].map(([, name = '', quoted, plain]) => [name, quoted ?? plain ?? '']))
}
