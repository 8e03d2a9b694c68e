import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { execForm, parseDockerfile, parseEnv } from '../../scripts/ci/dockerfile.ts'
import { dockerignore } from '../../scripts/ci/dockerignore.ts'

const read = (file: string) => readFileSync(join(import.meta.dirname, '../..', file), 'utf8')
const image = parseDockerfile(read('Dockerfile'))
const named = (name: string) => image.filter((instruction) => instruction.name === name).map(({ rest }) => rest)

describe('Dockerfile', () => {
  it('runs node itself as process 1, so that it gets the signals', () => {
    expect(named('CMD').map(execForm)).toEqual([['node', 'src/main.ts', 'serve']])
    expect(named('ENTRYPOINT')).toEqual([])
  })

  it('stands on the Node version that the project runs on', () => {
    const { devDependencies } = JSON.parse(read('package.json'))

    expect(named('FROM')).toEqual([`node:${devDependencies.node.split('.')[0]}-slim`])
  })

  it('runs as a user without privileges', () => {
    expect(named('USER')).toEqual(['node'])
    expect(image.findIndex(({ name }) => name === 'USER')).toBeLessThan(image.findIndex(({ name }) => name === 'CMD'))
  })

  it('listens on every interface and keeps its data on the volume', () => {
    expect(Object.assign({}, ...named('ENV').map(parseEnv))).toMatchObject({
      GATHERD_HOST: '0.0.0.0',
      GATHERD_DATA_DIR: named('VOLUME')[0],
      NODE_ENV: 'production',
    })
  })
})

describe('.dockerignore', () => {
  const sees = dockerignore(read('.dockerignore'))

  it.each([
    'package.json',
    'package-lock.json',
    'src/main.ts',
    'src/engine/local/slots.ts',
    'routes/index.ts',
    'openapi.yaml',
  ])('lets %s into the image', (path) => expect(sees(path)).toBe(true))

  it.each([
    '.env',
    '.git/config',
    'data/gatherd.db',
    'node_modules/zod/package.json',
    'test/app.test.ts',
    'src/debug.log',
  ])('keeps %s out of the image', (path) => expect(sees(path)).toBe(false))
})
