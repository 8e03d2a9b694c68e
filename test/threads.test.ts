import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { tempDir } from './support/temp-dir.ts'

/** What a process that first does `before` gives to its threads. */
function optionsAfter(before = ''): unknown {
  const script = `import { enableCompileCache } from 'node:module'
    import { threadOptions } from ${JSON.stringify(join(import.meta.dirname, '../src/threads.ts'))}
    ${before}
    console.log(JSON.stringify(threadOptions()))`
  const args = ['--input-type=module-typescript', '-e', script]
  return JSON.parse(spawnSync(process.execPath, args, { encoding: 'utf8', env: {} }).stdout)
}

describe('threadOptions', () => {
  it('gives a thread nothing of the environment where there is no compile cache', () => {
    expect(optionsAfter()).toEqual({ env: {}, execArgv: ['--disable-warning=ExperimentalWarning'] })
  })

  it('tells a thread of the directory that the process was told of', () => {
    using dir = tempDir()

    const options = optionsAfter(`enableCompileCache(${JSON.stringify(dir.path)})`)

    expect(options).toMatchObject({ env: { NODE_COMPILE_CACHE: dir.path } })
  })
})
