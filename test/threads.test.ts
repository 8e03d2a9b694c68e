import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { threadOptions } from '../src/threads.ts'
import { tempDir } from './support/temp-dir.ts'

describe('threadOptions', () => {
  it('gives a thread nothing of the environment where there is no compile cache', () => {
    expect(threadOptions()).toEqual({ env: {}, execArgv: ['--disable-warning=ExperimentalWarning'] })
  })

  it('tells a thread of the directory that the process was told of', () => {
    using dir = tempDir()
    const script = `import { enableCompileCache } from 'node:module'
      import { threadOptions } from ${JSON.stringify(join(import.meta.dirname, '../src/threads.ts'))}
      enableCompileCache(${JSON.stringify(dir.path)})
      console.log(JSON.stringify(threadOptions().env))`

    const { stdout } = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', script], {
      encoding: 'utf8',
    })

    expect(JSON.parse(stdout)).toEqual({ NODE_COMPILE_CACHE: dir.path })
  })
})
