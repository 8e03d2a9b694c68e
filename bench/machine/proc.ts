import { readdirSync, readFileSync } from 'node:fs'

/** Ticks of Linux' /proc in a second, on all that matters. */
const TICKS = 100

/** What a process has used of the CPU, user and system, in milliseconds; NaN where there is no /proc. */
export function cpuMs(pid: number | undefined): number {
  return ticksMs(`/proc/${pid}/stat`)
}

/** As `cpuMs`, of the thread that the process began with alone. */
export function mainThreadCpuMs(pid: number | undefined): number {
  return ticksMs(`/proc/${pid}/task/${pid}/stat`)
}

function ticksMs(path: string): number {
  try {
    const stat = readFileSync(path, 'utf8')
    // The name of the program, in parentheses, may have spaces.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS
  } catch {
    return Number.NaN
  }
}

/** The memory of a process that is resident, in bytes; NaN where there is no /proc. */
export function rssBytes(pid: number | undefined): number {
  try {
    const kibibytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return Number(kibibytes) * 1_024
  } catch {
    return Number.NaN
  }
}

/** How many files and sockets a process has open; NaN where there is no /proc. */
export function openFiles(pid: number | undefined): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return Number.NaN
  }
}
