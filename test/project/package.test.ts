import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const REPO = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(REPO, file), 'utf8')

interface Locked {
  version?: string
  resolved?: string
  hasInstallScript?: boolean
  optionalDependencies?: Record<string, string>
}
const lock: { packages: Record<string, Locked> } = JSON.parse(read('package-lock.json'))
const manifest: {
  dependencies: Record<string, string>
  devDependencies: Record<string, string>
  allowScripts: object
} = JSON.parse(read('package.json'))

describe('package.json', () => {
  it('pins every dependency to one version', () => {
    const versions = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })

    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([])
  })

  it('says of every install script whether it may run, so that npm does not ask', () => {
    const withScript = Object.entries(lock.packages)
      .filter(([path, { hasInstallScript }]) => hasInstallScript && !path.endsWith('/fsevents'))
      .map(([path]) => path.replace(/^.*node_modules\//, ''))

    expect(withScript.filter((name) => !(name in manifest.allowScripts))).toEqual([])
  })
})

describe('package-lock.json', () => {
  it('names no registry and no path of a machine', () => {
    expect(read('package-lock.json')).not.toMatch(/"resolved"|"file:|registry\./)
  })

  it('has an entry for every optional package, without which `npm ci` refuses it', () => {
    // A registry that does not serve a platform's package makes npm leave it out of the lock file; name it by hand,
    // as the others of the same package, with its `version`, `os`, `cpu` and `"optional": true`.
    const missing = Object.entries(lock.packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter(
        (name) => !(`${path}/node_modules/${name}` in lock.packages || `node_modules/${name}` in lock.packages),
      ),
    )

    expect(missing).toEqual([])
  })
})

describe('the repository', () => {
  it('has no file that names a folder of a workplace', () => {
    const files = execFileSync('git', ['ls-files'], { cwd: REPO, encoding: 'utf8' }).split('\n')
    const own = files.filter((file) => file !== '' && existsSync(join(REPO, file)))

    expect(own.filter((file) => /(?<![\w.])\/(work|root)\/\w/.test(read(file)))).toEqual([])
  })
})
