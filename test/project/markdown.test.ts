import { describe, expect, it } from 'vitest'
import { shellBlocks } from '../../scripts/ci/markdown.ts'

const block = (above: string, code = 'true') => `text\n\n${above}\n\`\`\`sh\n${code}\n\`\`\`\n`

describe('the shell blocks of the documentation', () => {
  it('are read with how CI treats them, what they must print and where they are', () => {
    const text =
      block('<!-- ci: start -->', 'npm start') + block('<!-- ci: service "state": "x" -->\n', 'curl x\ncurl y')

    expect(shellBlocks(text)).toEqual([
      { how: 'start', note: '', code: 'npm start', line: 4 },
      { how: 'service', note: '"state": "x"', code: 'curl x\ncurl y', line: 11 },
    ])
  })

  it('are refused when one says nothing about CI', () => {
    expect(() => shellBlocks(block('Run this:'))).toThrow('line 4')
  })

  it('may be skipped with a reason', () => {
    expect(shellBlocks(block('<!-- ci: skip: needs Docker -->'))).toMatchObject([{ how: 'skip', note: 'needs Docker' }])
  })

  it('may not be skipped without one', () => {
    expect(() => shellBlocks(block('<!-- ci: skip -->'))).toThrow('skip without a reason')
  })

  it('are only those of a shell', () => {
    expect(shellBlocks('```json\n{}\n```\n\n```\nplain\n```\n')).toEqual([])
  })
})
