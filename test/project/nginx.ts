import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../scripts/ci/processes.ts'
import { tempDir } from '../support/temp-dir.ts'

/** Whether the tests of the proxy can be run here. */
export const hasNginx = ['nginx', 'openssl'].every((name) => spawnSync(name, ['version']).error === undefined)

/** A real nginx with the configuration that is delivered, on ports of this machine and a certificate of its own. */
export class Nginx implements AsyncDisposable {
  /** Where it speaks TLS, and where it only redirects. */
  readonly url: string
  readonly plainUrl: string
  readonly certificate: string
  readonly #child: ChildProcess
  readonly #dir: Disposable

  private constructor(
    child: ChildProcess,
    dir: Disposable,
    facts: { plain: number; tls: number; certificate: string },
  ) {
    this.#child = child
    this.#dir = dir
    this.certificate = facts.certificate
    this.url = `https://127.0.0.1:${facts.tls}`
    this.plainUrl = `http://127.0.0.1:${facts.plain}`
  }

  /** @param conf - The text of deploy/nginx/gatherd.conf. @param upstream - The service's `host:port`. */
  static async start(conf: string, upstream: string): Promise<Nginx> {
    const dir = tempDir()
    const [plain, tls] = [await freePort(), await freePort()]
    const certificate = join(dir.path, 'tls.crt')
    makeCertificate(dir.path, certificate)
    writeFileSync(join(dir.path, 'nginx.conf'), around(dir.path, placed(conf, { dir: dir.path, upstream, plain, tls })))
    const child = spawn('nginx', ['-p', dir.path, '-c', 'nginx.conf', '-e', 'error.log'], { stdio: 'ignore' })
    const nginx = new Nginx(child, dir, { plain, tls, certificate })
    await untilListening(plain, child)
    return nginx
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await ended
    this.#dir[Symbol.dispose]()
  }
}

/** A real nginx with deploy/compose/nginx.conf, before servers of this machine. */
export class ReplicasNginx implements AsyncDisposable {
  readonly url: string
  readonly #child: ChildProcess
  readonly #dir: Disposable

  private constructor(child: ChildProcess, dir: Disposable, port: number) {
    this.#child = child
    this.#dir = dir
    this.url = `http://127.0.0.1:${port}`
  }

  /** @param conf - The text of the file. @param upstreams - `host:port` of each replica. */
  static async start(conf: string, upstreams: string[]): Promise<ReplicasNginx> {
    const dir = tempDir()
    const port = await freePort()
    writeFileSync(join(dir.path, 'nginx.conf'), placedWhole(conf, { dir: dir.path, port, upstreams }))
    const args = ['-p', dir.path, '-c', 'nginx.conf', '-e', 'error.log', '-g', 'daemon off;']
    const child = spawn('nginx', args, { stdio: 'ignore' })
    await untilListening(port, child)
    return new ReplicasNginx(child, dir, port)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await ended
    this.#dir[Symbol.dispose]()
  }
}

/** As `placed`; Docker's names of replicas are here their addresses, which an nginx before 1.27.3 takes as well. */
function placedWhole(conf: string, { dir, port, upstreams }: { dir: string; port: number; upstreams: string[] }) {
  const user = process.getuid?.() === 0 ? 'user root;\n' : ''
  const placed = conf
    .replaceAll('/tmp/', `${dir}/`)
    .replace('/dev/stderr', `${dir}/error.log`)
    .replace('worker_processes auto;', 'worker_processes 1;')
    .replace('worker_rlimit_nofile 65536;', '')
    .replace('worker_connections 16384;', 'worker_connections 512;')
    .replace('listen 8080;', `listen 127.0.0.1:${port};`)
    .replace(/^ *server gatherd:3000 resolve (.*)$/m, (_, rest) =>
      upstreams.map((upstream) => `server ${upstream} ${rest}`).join('\n'),
    )
  return user + placed
}

function makeCertificate(dir: string, certificate: string): void {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', join(dir, 'tls.key')]
  const name = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  execFileSync('openssl', ['req', '-x509', '-days', '2', ...key, ...name, '-out', certificate], { stdio: 'ignore' })
}

/** The delivered text with nothing but its places changed. */
function placed(
  conf: string,
  { dir, upstream, plain, tls }: Record<'dir' | 'upstream', string> & Record<'plain' | 'tls', number>,
) {
  return conf
    .replaceAll(/^ *listen \[::\].*\n/gm, '')
    .replace('listen 80;', `listen 127.0.0.1:${plain};`)
    .replace('listen 443 ', `listen 127.0.0.1:${tls} `)
    .replace('server 127.0.0.1:3000;', `server ${upstream};`)
    .replace('/etc/nginx/tls/gatherd.crt', `${dir}/tls.crt`)
    .replace('/etc/nginx/tls/gatherd.key', `${dir}/tls.key`)
}

function around(dir: string, site: string): string {
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${dir}/${name};`)
  return `daemon off; worker_processes 1; pid ${dir}/nginx.pid; ${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 256; }
http { access_log off; ${temp.join(' ')}
${site}
}`
}

async function untilListening(port: number, child: ChildProcess): Promise<void> {
  while (child.exitCode === null) {
    const socket = connect(port, '127.0.0.1')
    const up = await once(socket, 'connect').then(
      () => true,
      () => false, // Not yet.
    )
    socket.destroy()
    if (up) return
    await sleep(20)
  }
  throw new Error(`nginx ended with ${child.exitCode}`)
}
