import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { stopMs } from '../deploy/manifests.ts'
import { ServeProcess } from '../support/process.ts'
import { tempDir } from '../support/temp-dir.ts'
import { hasNginx, Nginx } from './nginx.ts'
import { parseUnit } from './units.ts'

const REPO = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(REPO, 'deploy', file), 'utf8')
const CONF = read('nginx/gatherd.conf')
const UNITS = ['gatherd.service', 'gatherd-backup.service', 'gatherd-backup.timer']
const service = parseUnit(read('systemd/gatherd.service')).Service ?? {}
const backup = parseUnit(read('systemd/gatherd-backup.service')).Service ?? {}
const hasSystemd = spawnSync('systemd-analyze', ['--version']).error === undefined

/** Seconds of a systemd or nginx time such as `20`, `30s` or `1h`. */
function seconds(time = ''): number {
  const [, count, unit = 's'] = /^(\d+)(s|min|m|h)?$/.exec(time) ?? []
  return Number(count) * ({ s: 1, m: 60, min: 60, h: 3600 }[unit] ?? Number.NaN)
}

const directive = (name: string) => new RegExp(`^ *${name} (.*);$`, 'm').exec(CONF)?.[1]

describe('deploy/systemd', () => {
  it('runs node itself, so that it gets the signals, and the program of this repository', () => {
    expect(service.ExecStart).toEqual(['/opt/gatherd/node_modules/.bin/node src/main.ts serve'])
    expect(backup.ExecStart?.[0]).toContain('exec node_modules/.bin/node src/main.ts backup --force')
  })

  it('waits longer than the drain takes before it kills', () => {
    const { drainGraceMs } = readConfig({})

    expect(seconds(service.TimeoutStopSec?.[0])).toBeGreaterThanOrEqual(stopMs(drainGraceMs) / 1000)
  })

  it('starts again what failed, and not what is set wrongly', () => {
    expect([service.Restart, service.RestartPreventExitStatus]).toEqual([['on-failure'], ['2']])
  })

  it('gives service and backup the same user and data, and nobody else', () => {
    const shared = ({
      DynamicUser,
      User,
      Environment,
      WorkingDirectory,
      UMask,
      StateDirectoryMode,
    }: typeof service) => [...[DynamicUser, User, Environment, WorkingDirectory, UMask, StateDirectoryMode]]

    expect(shared(backup)).toEqual(shared(service))
    expect(shared(service)).toEqual([
      ...[['yes'], ['gatherd'], ['GATHERD_DATA_DIR=/var/lib/gatherd NODE_ENV=production']],
      ...[['/opt/gatherd'], ['0077'], ['0700']],
    ])
    expect([service.StateDirectory, backup.StateDirectory]).toEqual([['gatherd'], ['gatherd gatherd-backups']])
  })

  it('lets V8 compile, and the guard see the addresses of this machine', () => {
    expect(service.MemoryDenyWriteExecute).toBeUndefined()
    expect(service.RestrictAddressFamilies?.[0]?.split(' ')).toContain('AF_NETLINK')
  })

  it.each(UNITS)('%s says each thing once, but for filters', (file) => {
    const twice = Object.values(parseUnit(read(`systemd/${file}`))).flatMap((section) =>
      Object.entries(section).filter(([, values]) => values.length > 1),
    )

    expect(twice.map(([name]) => name)).toEqual(file.endsWith('.service') ? ['SystemCallFilter'] : [])
  })

  it.skipIf(!hasSystemd)('is understood by systemd', () => {
    using dir = tempDir()
    const files = UNITS.map((file) => {
      const path = join(dir.path, file)
      writeFileSync(path, read(`systemd/${file}`).replace(/^ExecStart=\/opt.*$/m, 'ExecStart=/bin/true'))
      return path
    })

    const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', ...files], { encoding: 'utf8' })

    expect([status, stderr.split('\n').filter((line) => line.includes('gatherd'))]).toEqual([0, []])
  })

  it.skipIf(!hasSystemd)('is hardened: systemd finds little to object to', () => {
    const exposure = (file: string) => {
      const args = ['security', '--offline=true', '--no-pager', join(REPO, 'deploy/systemd', file)]
      const { stdout } = spawnSync('systemd-analyze', args, { encoding: 'utf8' })
      return Number(/Overall exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1])
    }

    expect(exposure('gatherd.service')).toBeLessThanOrEqual(1.5)
    expect(exposure('gatherd-backup.service')).toBeLessThanOrEqual(1)
  })
})

describe('parseUnit', () => {
  it('has every value of a name, by section', () => {
    expect(parseUnit('# x\n[Unit]\nA=1\n\n[Service]\nA=2\nA=3 b=c\n')).toEqual({
      Unit: { A: ['1'] },
      Service: { A: ['2', '3 b=c'] },
    })
  })

  it.each(['A=1', '[Unit]\nnothing', '[Unit]\na=1', '[Un it]'])('refuses %j', (text) => {
    expect(() => parseUnit(text)).toThrow('line')
  })
})

interface Answer {
  status: number | undefined
  text: string
}

/** A request through the proxy. */
async function ask(
  nginx: Nginx,
  path: string,
  more: { method?: string; headers?: Record<string, string>; body?: string },
) {
  const sent = request(nginx.url + path, { ca: readFileSync(nginx.certificate), agent: false, ...more })
  sent.on('error', () => undefined) // An answer that comes before all of a body was sent: the answer counts.
  sent.end(more.body)
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  return answer.setEncoding('utf8')
}

async function answered(...args: Parameters<typeof ask>): Promise<Answer> {
  const answer = await ask(...args)
  return { status: answer.statusCode, text: (await answer.toArray()).join('') }
}

describe('deploy/nginx', () => {
  it('has the limits of the settings', () => {
    const { bodyLimitBytes, maxWaitMs } = readConfig({})

    expect(directive('client_max_body_size')).toBe(`${bodyLimitBytes / 1024 / 1024}m`)
    expect(seconds(directive('proxy_read_timeout'))).toBeGreaterThan(maxWaitMs / 1000)
  })

  describe.skipIf(!hasNginx)('with an nginx', { timeout: 30_000 }, () => {
    /** A service behind a proxy, and a key of tenant `default` for it. */
    async function start() {
      const dir = tempDir()
      const serve = new ServeProcess(join(dir.path, 'data'), { GATHERD_TRUST_PROXY: '127.0.0.1' })
      const url = new URL(await serve.listening)
      const nginx = await Nginx.start(CONF, url.host)
      const key = serve.firstKey
      const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
      const dispose = async () => {
        await nginx[Symbol.asyncDispose]()
        await serve[Symbol.asyncDispose]()
        dir[Symbol.dispose]()
      }
      return { nginx, serve, headers, [Symbol.asyncDispose]: dispose }
    }

    it.each(['text/event-stream', 'application/x-ndjson'])('passes a stream of %s on as it comes', async (accept) => {
      await using site = await start()
      const { nginx, headers } = site
      const open = JSON.stringify({ open: true, jobs: [] })

      const stream = await ask(nginx, '/v1/batches', { method: 'POST', headers: { ...headers, accept }, body: open })
      const chunks = stream[Symbol.asyncIterator]()
      // The batch is open and goes on being so: what is read now was not kept back until the end of the answer.
      let text = ''
      while (!text.includes('batch.accepted')) text += (await chunks.next()).value ?? ''
      const id = /"batchId":"([^"]+)"/.exec(text)?.[1]
      const closed = await answered(nginx, `/v1/batches/${id}/close`, {
        method: 'POST',
        headers: { authorization: headers.authorization },
      })
      for (let next = await chunks.next(); !next.done; next = await chunks.next()) text += next.value

      expect(closed.status).toBe(200)
      expect(text).toContain('batch.drained')
    })

    it('takes a body of the largest size, and refuses a larger one itself', async () => {
      await using site = await start()
      const { nginx, headers } = site
      const limit = readConfig({}).bodyLimitBytes
      const post = (length: number) =>
        answered(nginx, '/v1/batches', { method: 'POST', headers, body: '{"jobs":[]}'.padEnd(length) })

      const [largest, larger] = [await post(limit), await post(limit + 1)]

      expect([largest.status, larger.status]).toEqual([202, 413])
      expect(larger.text).toContain('nginx')
    })

    it('says where a client comes from, whatever the client says', async () => {
      await using site = await start()
      const guess = (n: number) =>
        answered(site.nginx, '/v1/tenant', {
          headers: { authorization: `Bearer gth_${'x'.repeat(40)}${n}`, 'x-forwarded-for': `203.0.113.${n}` },
        })

      const statuses: (number | undefined)[] = []
      for (let n = 0; n < 21; n++) statuses.push((await guess(n)).status)

      expect(statuses).toEqual([...Array.from({ length: 20 }, () => 401), 429])
    })

    it('sends what comes without TLS to where there is some', async () => {
      await using site = await start()

      const answer = await fetch(`${site.nginx.plainUrl}/v1/batches?x=1`, { redirect: 'manual' })

      expect([answer.status, answer.headers.get('location')]).toEqual([308, 'https://127.0.0.1/v1/batches?x=1'])
    })
  })
})

describe('the key of the operator', () => {
  it('is not in any file that is delivered', () => {
    for (const file of [...UNITS.map((name) => `systemd/${name}`), 'nginx/gatherd.conf'])
      expect(read(file)).not.toMatch(/gth_|GATHERD_(ADMIN|SECRET)_KEY=/)
  })
})
