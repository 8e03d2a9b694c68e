/** What became of attempts that ran elsewhere, since the start of the process. One place, for whoever shows them. */
export class SpreadCounts {
  /** Attempts of our tenants that were sent to other replicas. */
  sent = 0
  /** Of those: cut off with their replica, or given back. */
  interrupted = 0
  /** Attempts of other replicas' tenants that ran here. */
  taken = 0
  /** Of those: told to stop because their owner is another by now, or none. */
  orphaned = 0
}
