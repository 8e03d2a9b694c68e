import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MissingTool } from './tool.ts'

/** An nginx of our own that answers every request with two bytes. */
export interface Nginx extends AsyncDisposable {
  url: string
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** Start nginx with one worker on a free port of 127.0.0.1. @throws {MissingTool} when nginx is not installed. */
export async function startNginx(): Promise<Nginx> {
  const folder = await mkdtemp(join(tmpdir(), 'gatherd-nginx-'))
  const port = await freePort()
  await writeFile(join(folder, 'nginx.conf'), config(folder, port))
  const child = spawn('nginx', ['-p', folder, '-c', 'nginx.conf'], { stdio: 'ignore' })
  const url = `http://127.0.0.1:${port}/`
  await answers(url, child)
  return { url, [Symbol.asyncDispose]: () => stop(child, folder) }
}

function config(folder: string, port: number): string {
  return `daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log /dev/null;
events { worker_connections 2048; }
http {
  access_log off; keepalive_requests 10000000; client_body_temp_path ${folder}; proxy_temp_path ${folder};
  fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  server { listen 127.0.0.1:${port}; default_type text/plain; location / { return 200 "ok"; } }
}`
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  const failed = new Promise<never>((_resolve, reject) => {
    child.once('error', () => reject(new MissingTool('nginx is not installed (apt-get install nginx)')))
    child.once('exit', (status) => reject(new Error(`nginx ended with ${status}`)))
  })
  failed.catch(() => {
    // Only the race below wants to know.
  })
  for (let tries = 0; tries < 100; tries++) {
    const up = fetch(url).then(
      (response) => response.ok,
      () => false,
    )
    if (await Promise.race([up, failed])) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('nginx does not answer')
}

async function stop(child: ChildProcess, folder: string): Promise<void> {
  child.removeAllListeners('exit')
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGQUIT')
  await ended
  await rm(folder, { recursive: true, force: true })
}
