import { spawnSync } from 'node:child_process'

/** A program that a measure needs is not installed; the measure is left out. */
export class MissingTool extends Error {}

/** Whether a program can be started. */
export function isInstalled(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).error === undefined
}
