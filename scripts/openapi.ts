import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pkg from '../package.json' with { type: 'json' }
import { openApiYaml } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { Egress } from '../src/egress/egress.ts'
import { builtInKinds } from '../src/jobs/index.ts'

/**
 * Writes `openapi.yaml` out of the schemas. With `--check` writes nothing, and exits with 1 when the file is not what
 * would be written.
 */
const path = join(import.meta.dirname, '..', 'openapi.yaml')
const text = await openApiYaml({
  config: readConfig({}),
  kinds: builtInKinds({ egress: new Egress() }),
  version: pkg.version,
})

if (process.argv.includes('--check')) {
  const kept = await readFile(path, 'utf8').catch(() => '')
  if (kept !== text) {
    console.error('openapi.yaml is not up to date: npm run openapi writes it')
    process.exitCode = 1
  }
} else {
  await writeFile(path, text)
}
