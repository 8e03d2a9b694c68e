import { streamCurve } from './curves/streams.ts'
import { tenantCurve } from './curves/tenants.ts'
import { acceptance } from './measures/accept.ts'
import { backlogCpu, backlogMemory } from './measures/backlog.ts'
import { cancelling } from './measures/cancel.ts'
import { caps } from './measures/caps.ts'
import { cluster } from './measures/cluster.ts'
import { delivery } from './measures/delivery.ts'
import { guarding } from './measures/guard.ts'
import { neighbours } from './measures/neighbour.ts'
import { recovery } from './measures/recovery.ts'
import { slowness } from './measures/slow-disk.ts'
import { stages } from './measures/stages.ts'
import { empty, fetches } from './measures/throughput.ts'
import type { Measure } from './report/measure.ts'
import { soak } from './soak/soak.ts'

/** All that is measured, in the order in which it is taken and told. */
export const MEASURES: readonly Measure[] = [
  fetches,
  empty,
  backlogCpu,
  backlogMemory,
  neighbours,
  cancelling,
  acceptance,
  delivery,
  caps,
  recovery,
  slowness,
  guarding,
  stages,
  cluster,
  tenantCurve,
  streamCurve,
  soak,
]

/** What has a target, and is measured when nothing is named. */
export const USUAL = [...MEASURES.map(({ id }) => id).filter((id) => /^P\d+$/.test(id)), 'cluster']

/** Names for several. */
export const GROUPS = { curves: ['P3', 'tenants', 'streams'] }
