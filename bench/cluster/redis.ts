import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { HINT, needRedisServer } from '../../scripts/redis-server.ts'
import { freePort } from '../machine/nginx.ts'
import { ended } from '../machine/service.ts'
import { MissingTool } from '../machine/tool.ts'

/** What a redis-server has used since it started. */
export interface RedisUsage {
  /** Of all its threads, user and system, in milliseconds. */
  cpuMs: number
  /** Of its memory, what it has data in. */
  bytes: number
  /** What went in and out over its sockets, in bytes. */
  network: number
}

/** A redis-server of its own, with an append-only file that is fsynced every second and never rewritten. */
export interface BenchRedis extends AsyncDisposable {
  url: string
  usage(): Promise<RedisUsage>
  /** Commands that it ran since `forgetCommands`: how often each, and its share of Redis' CPU in microseconds. */
  commands(): Promise<Map<string, { calls: number; usec: number }>>
  forgetCommands(): Promise<void>
}

/** Start one on a free port of 127.0.0.1. @throws {MissingTool} when there is no redis-server. */
export async function startRedis(): Promise<BenchRedis> {
  const binary = needRedisServer()
  if (binary === null) throw new MissingTool(HINT)
  const dir = await mkdtemp(join(tmpdir(), 'gatherd-bench-redis-'))
  const port = await freePort()
  const child = spawn(binary, settings(port, dir), { stdio: 'ignore' })
  const client = new Redis({ port, host: '127.0.0.1', maxRetriesPerRequest: null })
  client.on('error', () => undefined)
  await client.ping()
  return {
    url: `redis://127.0.0.1:${port}`,
    usage: () => usageOf(client),
    commands: async () => commandsOf(await client.info('commandstats')),
    forgetCommands: async () => void (await client.config('RESETSTAT')),
    [Symbol.asyncDispose]: () => stop(client, child, dir),
  }
}

function settings(port: number, dir: string): string[] {
  const kept = ['--appendonly', 'yes', '--appendfsync', 'everysec', '--auto-aof-rewrite-percentage', '0', '--save', '']
  return ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', dir, '--maxclients', '10000', ...kept]
}

async function stop(client: Redis, child: ChildProcess, dir: string): Promise<void> {
  client.disconnect()
  await ended(child, 'SIGKILL')
  await rm(dir, { recursive: true, force: true })
}

async function usageOf(client: Redis): Promise<RedisUsage> {
  const said = (await Promise.all([client.info('cpu'), client.info('memory'), client.info('stats')])).join('\n')
  const figure = (name: string) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(said)?.[1])
  return {
    cpuMs: 1_000 * (figure('used_cpu_user') + figure('used_cpu_sys')),
    bytes: figure('used_memory_dataset'),
    network: figure('total_net_input_bytes') + figure('total_net_output_bytes'),
  }
}

function commandsOf(text: string): Map<string, { calls: number; usec: number }> {
  const lines = text.matchAll(/^cmdstat_([^:]+):calls=(\d+),usec=(\d+)/gm)
  return new Map(Array.from(lines, ([, name, calls, usec]) => [name, { calls: Number(calls), usec: Number(usec) }]))
}
