import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadKinds } from '../../src/jobs/custom.ts'
import { tempDir } from '../support/temp-dir.ts'

describe("a kind of the operator's own", () => {
  it.each(['true', 'false'])('cannot say of itself that its sockets are guarded: %s', async (guarded) => {
    using place = tempDir()
    writeFileSync(join(place.path, 'kinds.mjs'), `export default [{ name: 'x', run() {}, guarded: ${guarded} }]`)

    await expect(loadKinds('kinds.mjs', place.path)).rejects.toThrow(/kinds\.mjs, kind 0: it cannot be guarded/)
  })
})
