import { Guard } from '../../src/egress/guard/guard.ts'
import type { EgressSettings } from '../../src/egress/guard/settings.ts'

/** A guard that lets fetches go to this machine, to `localhost` and to names that a test invents. */
export function openGuard(settings: EgressSettings = {}): Guard {
  return new Guard({ allow: ['127.0.0.0/8', '::1'], allowHosts: ['localhost', '*.test'], ...settings })
}
