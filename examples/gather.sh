#!/usr/bin/env bash
# gatherd with curl. Needs GATHERD_URL (http://127.0.0.1:3000) and GATHERD_KEY (gth_…).
set -euo pipefail
: "${GATHERD_URL:?where the service is, such as http://127.0.0.1:3000}" "${GATHERD_KEY:?the key that it printed at its first start}"
api=$GATHERD_URL/v1

# --fail-with-body: a problem document is an error of this script, and is shown.
call() {
  curl -sS --fail-with-body -H "Authorization: Bearer $GATHERD_KEY" -H 'Content-Type: application/json' "$@"
  echo
}

# The id is the first string of a batch: {"id":"…". Read it with jq -r .id if you have jq.
submit() { call "$api/batches" -d "$1" | cut -d'"' -f4; }

echo '== gather, and wait for the results'
# The key makes it safe to send again: it starts nothing a second time. A fetch without a timeoutMs may take for ever.
call "$api/batches" -H 'Prefer: wait=10' -H "Idempotency-Key: gather-$$-$RANDOM" -d '{
  "policy": "gather", "defaults": {"timeoutMs": 5000},
  "jobs": [
    {"kind": "fetch", "name": "health", "url": "'"$GATHERD_URL"'/livez", "response": "json"},
    {"kind": "sleep", "name": "pause", "durationMs": 100, "result": "hello"}
  ]}'

echo '== submit, then follow the ends of its jobs, the first to end first'
batch=$(submit '{"jobs": [
  {"kind": "sleep", "durationMs": 300, "result": "slow"},
  {"kind": "sleep", "durationMs": 50, "result": "fast"}]}')
call -N -H 'Accept: application/x-ndjson' "$api/batches/$batch/events?only=completions"

echo '== the same stream from event 4 on, as after a cut'
call -N -H 'Accept: application/x-ndjson' "$api/batches/$batch/events?after=3"

echo '== cancel'
batch=$(submit '{"jobs": [{"kind": "sleep", "durationMs": 60000}]}')
call "$api/batches/$batch/cancel" -d '{"reason": "changed my mind"}'
call "$api/batches/$batch/wait"
