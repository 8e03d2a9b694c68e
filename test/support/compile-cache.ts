import module, { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const directory = join(tmpdir(), 'gatherd-test-compile-cache')

/**
 * Set-up of every test file. Each store has threads, and each service that is started as a process has a hundred modules: without a cache
 * every one of them would strip the types anew, which is half of what most tests of a store cost. While coverage is measured, vitest keeps
 * Node from caching; what is measured is this thread alone, so threads and processes may.
 */
process.env.NODE_COMPILE_CACHE = directory
delete process.env.NODE_DISABLE_COMPILE_CACHE
// Of a version's directory threads take the parent.
module.getCompileCacheDir = () => join(directory, 'of-this-version')
syncBuiltinESMExports()
