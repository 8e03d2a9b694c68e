/**
 * Proof of the Dockerfile without Docker: does in an empty folder what its instructions say, with Node 24 and only the
 * files that .dockerignore lets through, starts the result as an unprivileged user, asks its health check, and stops it.
 *
 * Not Docker: `RUN` uses this machine's system and npm; `/app` and `/data` are folders below the temporary one.
 * As root the service runs as `nobody`, which stands for the image's `node`; otherwise as whoever runs this.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { execForm, type Instruction, parseDockerfile, parseEnv } from './ci/dockerfile.ts'
import { dockerignore } from './ci/dockerignore.ts'
import { freePort, stop, untilAnswers } from './ci/processes.ts'

const CONTEXT = join(import.meta.dirname, '..')
/** Longer than the default GATHERD_DRAIN_GRACE_MS, as compose.yaml's `stop_grace_period`. */
const STOP_GRACE_MS = 20_000
const START_MS = 15_000

/** What the instructions have built up so far. */
interface Image {
  root: string
  workdir: string
  env: Record<string, string>
  user: string
  cmd: string[]
  healthcheck: string[]
  /** Who the image's `node` is here. */
  uid: number
  gid: number
}

const say = (line: string) => console.log(`dockerfile-proof: ${line}`)

/** A path of the image on this machine. */
const at = (image: Image, path: string) => join(image.root, path.startsWith('/') ? path : join(image.workdir, path))

/** What a process of the image sees: the image's ENV and nothing of ours but where to find programs. */
function environment(image: Image, extra: Record<string, string> = {}): Record<string, string> {
  const own = Object.entries(image.env).map(([name, value]) => [name, value.startsWith('/') ? at(image, value) : value])
  const path = `${join(image.root, 'usr/local/bin')}:${process.env.PATH}`
  return { ...Object.fromEntries(own), PATH: path, HOME: join(image.root, 'home/node'), ...extra }
}

/** `COPY a b dest`: as Docker does it, a folder gives its contents, and what .dockerignore hides is not there. */
function copy(image: Image, rest: string): void {
  const words = rest.split(/\s+/)
  if (words.some((word) => word.startsWith('--'))) throw new Error(`COPY: no options are known here: ${rest}`)
  const to = words.pop() ?? ''
  const sees = dockerignore(fs.readFileSync(join(CONTEXT, '.dockerignore'), 'utf8'))
  for (const from of words) {
    const source = join(CONTEXT, from)
    if (!fs.existsSync(source) || !sees(from)) throw new Error(`COPY: ${from} is not in the build context`)
    const isFolder = fs.statSync(source).isDirectory()
    const intoFolder = words.length > 1 || /(^|\/)\.?$/.test(to)
    const target = intoFolder && !isFolder ? join(at(image, to), basename(from)) : at(image, to)
    fs.mkdirSync(dirname(target), { recursive: true })
    fs.cpSync(source, target, { recursive: true, filter: (path) => sees(relative(CONTEXT, path)) })
  }
}

/** `RUN`: by sh, the image's own folders put below the root and its user replaced by the one here. */
function run(image: Image, command: string): void {
  const here = command
    .replace(/^--mount=type=cache\S*\s+/, '') // npm has a cache of its own here
    .replaceAll(/(?<=^|[\s='"])\/(?=(?:app|data)\b)/g, `${image.root}/`)
    .replaceAll(/\bnode:node\b/g, `${image.uid}:${image.gid}`)
  // The caller's own npm settings stay: its registry and its cache. What `npm ci` fetched a minute ago is not fetched again.
  const npm = { npm_config_prefer_offline: 'true', npm_config_loglevel: 'error' }
  const env = { ...process.env, ...environment(image), ...npm, HOME: process.env.HOME }
  execFileSync('sh', ['-ec', here], { cwd: at(image, '.'), env, stdio: ['ignore', 'ignore', 'inherit'] })
}

function apply(image: Image, { name, rest }: Instruction): void {
  switch (name) {
    case 'FROM':
      if (!rest.startsWith(`node:${process.versions.node.split('.')[0]}-`))
        throw new Error(`FROM ${rest}: another Node than here`)
      return
    case 'ENV':
      Object.assign(image.env, parseEnv(rest))
      return
    case 'WORKDIR':
      image.workdir = rest
      fs.mkdirSync(at(image, '.'), { recursive: true })
      return
    case 'COPY':
      return copy(image, rest)
    case 'RUN':
      return run(image, rest)
    case 'USER':
      image.user = rest
      return
    case 'CMD':
      image.cmd = execForm(rest)
      return
    case 'HEALTHCHECK':
      image.healthcheck = execForm(rest.replace(/^.*?CMD\s+/, ''))
      return
    case 'VOLUME':
      if (!fs.existsSync(at(image, rest))) throw new Error(`VOLUME ${rest}: nothing made it, so root would own it`)
      return
    case 'STOPSIGNAL':
      if (rest !== 'SIGTERM') throw new Error(`STOPSIGNAL ${rest}: not the one that drains`)
      return
    case 'EXPOSE':
      return
    default:
      throw new Error(`the proof does not know ${name}: teach it`)
  }
}

/** An empty image; Node comes from the one that runs this, copied so that an unprivileged user can read it. */
function emptyImage(): Image {
  const root = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'gatherd-image-')))
  fs.chmodSync(root, 0o755)
  fs.mkdirSync(join(root, 'usr/local/bin'), { recursive: true })
  fs.mkdirSync(join(root, 'home/node'), { recursive: true })
  fs.copyFileSync(process.execPath, join(root, 'usr/local/bin/node'))
  const asRoot = process.getuid?.() === 0
  const id = (flag: string) => Number(execFileSync('id', asRoot ? [flag, 'nobody'] : [flag], { encoding: 'utf8' }))
  return { root, workdir: '/', env: {}, user: 'root', cmd: [], healthcheck: [], uid: id('-u'), gid: id('-g') }
}

/** Who a process is run as, and where. */
function processOptions(image: Image, port: number) {
  const identity = process.getuid?.() === 0 ? { uid: image.uid, gid: image.gid } : {}
  return { cwd: at(image, '.'), env: environment(image, { GATHERD_PORT: String(port) }), ...identity }
}

/** The image's health check: true when it says healthy. */
function isHealthy(image: Image, port: number): boolean {
  const [program = '', ...args] = image.healthcheck
  const path = join(image.root, 'usr/local/bin', program)
  return spawnSync(path, args, { ...processOptions(image, port), timeout: 5_000 }).status === 0
}

/** Start the image, ask it, stop it. */
async function prove(image: Image): Promise<void> {
  const port = await freePort()
  if (image.user !== 'node') throw new Error(`USER is ${image.user}, not node`)
  if (isHealthy(image, port)) throw new Error('HEALTHCHECK says healthy though nothing runs')

  const [program = '', ...args] = image.cmd
  const service = spawn(join(image.root, 'usr/local/bin', program), args, {
    ...processOptions(image, port),
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  try {
    await untilAnswers(`http://127.0.0.1:${port}/readyz`, service, START_MS)
    say(`"${image.cmd.join(' ')}" is ready, as user ${image.uid}`)
    if (!isHealthy(image, port)) throw new Error('HEALTHCHECK says unhealthy though the service is ready')
    say('HEALTHCHECK says healthy')
    if (fs.readdirSync(at(image, '/data')).length === 0) throw new Error('nothing was written to /data')
    say('it keeps its data in /data')
    const status = await stop(service, STOP_GRACE_MS)
    if (status !== 0) throw new Error(`after SIGTERM: ${status}, not 0`)
    say('SIGTERM ends it with status 0')
  } finally {
    await stop(service, 0)
  }
}

const image = emptyImage()
try {
  if (process.getuid?.() !== 0) say('not root: the service runs as the user who runs this')
  for (const instruction of parseDockerfile(fs.readFileSync(join(CONTEXT, 'Dockerfile'), 'utf8'))) {
    say(`${instruction.name} ${instruction.rest}`.slice(0, 110))
    apply(image, instruction)
  }
  const hidden = fs.globSync('{.env*,data,test,.git,node_modules/{vitest,node,typescript}}', { cwd: at(image, '/app') })
  if (hidden.length > 0) throw new Error(`the image has what it must not have: ${hidden.join(', ')}`)
  await prove(image)
} finally {
  fs.rmSync(image.root, { recursive: true, force: true })
}
