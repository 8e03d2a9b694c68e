"""gatherd from Python 3.11, standard library only, as asyncio would have it.

Needs GATHERD_URL (http://127.0.0.1:3000) and GATHERD_KEY (gth_...).
"""

import asyncio
import json
import os
import urllib.error
import urllib.request

URL = os.environ.get("GATHERD_URL", "http://127.0.0.1:3000")
KEY = os.environ["GATHERD_KEY"]


class Problem(Exception):
    """The service said no: its problem document, with `code` to tell them apart."""

    def __init__(self, document):
        fields = "".join(f" {e['pointer']}: {e['detail']}" for e in document.get("errors", []))
        super().__init__(f"{document['code']}: {document.get('detail', '')}{fields}")
        self.code = document["code"]


class JobError(Exception):
    """A job failed, with the error that the service recorded."""


def open_call(method, path, body=None, **headers):
    """One call of the API; the response is open, to be read as it comes."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, method=method)
    request.add_header("Authorization", f"Bearer {KEY}")
    request.add_header("Content-Type", "application/json")
    for name, value in headers.items():
        request.add_header(name, value)
    try:
        return urllib.request.urlopen(request, timeout=90)
    except urllib.error.HTTPError as error:
        raise Problem(json.load(error)) from None


def call(method, path, body=None, **headers):
    with open_call(method, path, body, **headers) as response:
        return json.load(response)


async def submit(batch):
    return await asyncio.to_thread(call, "POST", "/v1/batches", batch)


async def settled(batch_id):
    """The batch with its jobs, when its outcome is known."""
    while True:
        path = f"/v1/batches/{batch_id}?include=jobs"
        batch = await asyncio.to_thread(call, "GET", path, Prefer="wait=30")
        if batch["settledAt"] is not None:
            return batch


async def gather(*jobs, policy="gather", **batch):
    """asyncio.gather(): results in input order, or an exception; a task_group raises an ExceptionGroup."""
    batch = await submit({"policy": policy, "jobs": jobs, **batch})
    try:
        batch = await settled(batch["id"])
    except asyncio.CancelledError:
        # Cancelling the caller cancels the work, as it does in asyncio.
        await cancel(batch["id"], "the caller was cancelled")
        raise
    error = batch["error"]
    if error is None:
        return [job["result"] for job in batch["jobs"]]
    if error["type"] == "ExceptionGroup":
        raise ExceptionGroup(error["message"], [JobError(e["message"]) for e in error["errors"]])
    raise JobError(error["message"])


async def as_completed(batch_id):
    """asyncio.as_completed(): the jobs as they end, each once, across any number of broken connections."""
    after = 0
    while True:
        path = f"/v1/batches/{batch_id}/events?only=completions&after={after}"
        try:
            response = await asyncio.to_thread(open_call, "GET", path, Accept="application/x-ndjson")
            with response:
                while line := await asyncio.to_thread(response.readline):
                    event = json.loads(line)
                    after = event.get("seq", after)
                    if "job" in event:
                        yield event["job"]
                    if event["type"] == "batch.drained":
                        return
            if response.status == 204:
                return
        except (OSError, ValueError):
            await asyncio.sleep(1)


async def cancel(batch_id, reason):
    return await asyncio.to_thread(call, "POST", f"/v1/batches/{batch_id}/cancel", {"reason": reason})


def sleep(duration_ms, result=None):
    return {"kind": "sleep", "durationMs": duration_ms, "result": result}


def fetch(url, **options):
    # Without a timeoutMs a body that drips would hold its slot until the batch ends.
    return {"kind": "fetch", "url": url, "timeoutMs": 5_000, **options}


async def main():
    print("gather: results in input order")
    slow, health, fast = await gather(sleep(200, "slow"), fetch(f"{URL}/livez", response="json"), sleep(10, "fast"))
    print(" ", [slow, health["body"], fast])

    print("as_completed: the first to end first")
    batch = await submit({"jobs": [sleep(200, "slow"), sleep(100, "middle"), sleep(10, "fast")]})
    async for job in as_completed(batch["id"]):
        print(" ", job["index"], job["result"])

    print("task_group: the first failure cancels the rest")
    try:
        await gather(fetch(f"{URL}/no-such-page"), sleep(60_000), policy="task_group")
    except* JobError as group:
        print(" ", repr(group.exceptions))

    print("cancel")
    batch = await submit({"jobs": [sleep(60_000)]})
    answer = await cancel(batch["id"], "changed my mind")
    async for job in as_completed(batch["id"]):
        print(" ", answer["cancelled"], job["state"], job["reason"])

    print("a mistake is named by its place")
    try:
        await submit({"jobs": [sleep(10), {"kind": "fetch", "url": "ftp://x"}]})
    except Problem as problem:
        print(" ", problem)


asyncio.run(main())
