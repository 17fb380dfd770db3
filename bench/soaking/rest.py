"""What a server holds when nothing is asked of it: looked at between equal stretches of load.

Memory is the sum over all processes of the server (the master, its workers, their pool processes) of Pss_Anon and
Pss_Shmem: pages that came with them and would go with them, each counted once however many share it. Pages
of files are left out, since what they count for depends on other programs that have mapped them. It is taken at rest: every
connection closed, every task ended, one generation alive, and Lua's garbage collected, so that what is
left is what is held. What it has in use of that, by the word of its allocators (live objects of Lua, blocks of malloc), is
looked at on its own: an allocator keeps what it has got, more or less of it by chance, and nothing of it for ever.

Equal stretches, and a straight line through all of the moments at rest (Theil and Sen: the median of the slopes
of all pairs, which a few odd ones cannot bend), show what grows with time and nothing else. How far the line may be
off by chance is Sen's interval (P. K. Sen, Estimates of the regression coefficient based on Kendall's tau, 1968).
"""

import asyncio
import json
import math
import statistics
import time

from soaking.site import SiteError, descriptors_of, mappings_of, memory_of, threads_of
from soaking.wire import Lost, connect, request_bytes

REST_SECONDS = 30
TELL_SECONDS = 20
LOOKS = 4
STILL_SECONDS = 2.5  # a worker gives memory back after a quiet second
EQUAL_PART = 0.7
NORMAL_99 = 2.576  # of a normal distribution, so many deviations to either side hold 99 %
LIVE = ("lua", "heap")
COUNTED = ("waits", "tasks", "timers", "handles")


class Rest:
    """One moment at rest."""

    def __init__(self, memory, live, counts, counters, each):
        self.each = each  # what each process holds: {pid: {name: bytes}}
        self.at = time.monotonic()
        self.memory = memory  # bytes, see above
        self.counts = counts  # {name: number}
        self.live = live  # bytes in use in the workers: {"lua": of their loops' VMs, "heap": of malloc}
        self.answers = 0  # in the stretch before it
        self.counters = counters  # what the app has counted: {name: number}


async def ask(site, method, target):
    connection = await connect(site.unix_path)
    try:
        await connection.send(request_bytes(method, target, [("Connection", "close")]))
        return await connection.read_answer()
    finally:
        connection.close()


def unrest_of(status, workers, is_told):
    """What is still under way, as a text; empty at rest."""
    found = []
    if len(status["workers"]) != workers:
        found.append(f"{len(status['workers'])} processes for {workers} workers")
    for worker in status["workers"]:
        for name, wanted in (("state", "serving"), ("connections", 0), ("in_flight", 0), ("generations_alive", 1)):
            if worker[name] != wanted:
                found.append(f"worker {worker['worker']} has {name} {worker[name]}")
        if not is_told and worker["beat_age"] > 3:
            found.append(f"worker {worker['worker']} is stuck")
    return ", ".join(found)


async def settle(site, seconds=REST_SECONDS):
    """Waits for the server to come to rest. Raises SiteError saying what does not end."""
    deadline = time.monotonic() + seconds
    while True:
        status = await site.status()
        unrest = unrest_of(status, site.workers, False)
        if not unrest:
            return status
        if time.monotonic() > deadline:
            raise SiteError(f"{site.name}: no rest after {seconds} s: {unrest}; doing: "
                            + (await site.must_call("ps")).replace("\n", " | "))
        await asyncio.sleep(0.3)


async def tell(site, status, number):
    """What each worker says it holds, after a full collection: {pid: counts}."""
    told = {}
    await ask(site, "POST", f"/tell/{number}")
    deadline = time.monotonic() + TELL_SECONDS
    for worker in status["workers"]:
        while True:
            answer = await ask(site, "GET", f"/told/{worker['pid']}")
            if answer.status == 200 and json.loads(answer.body)["round"] == number:
                told[worker["pid"]] = json.loads(answer.body)
                break
            if time.monotonic() > deadline:
                raise SiteError(f"{site.name}: worker {worker['worker']} does not tell what it holds")
            await asyncio.sleep(0.05)
    return told


async def use_all(site):
    """Has each worker start what it may ever start, and collect its garbage. Raises SiteError."""
    try:
        await tell(site, await settle(site), 0)
    except Lost as loss:
        raise SiteError(f"{site.name}: at rest, but asked to use all it has: {loss}") from None


async def look(site, number):
    """Looks at a server that is at rest. `number` is another one each time. Raises SiteError."""
    for attempt in range(LOOKS):
        found = await look_once(site, number * LOOKS + attempt)
        if found:
            return found
    raise SiteError(f"{site.name}: a process ended at rest, {LOOKS} times: {site.journal.tail()}")


async def look_once(site, number):
    """None when a process went meanwhile: to be looked at are requests, of which a worker may take so many only."""
    try:
        told = await tell(site, await settle(site), number)
        counters = json.loads((await ask(site, "GET", "/counters")).body)["counters"]
    except Lost as loss:
        raise SiteError(f"{site.name}: at rest, but asked for what it holds: {loss}") from None
    status = await settle(site)
    await asyncio.sleep(STILL_SECONDS)
    if {worker["pid"] for worker in status["workers"]} != set(told):
        return None
    try:
        memory, each = site.memory(), {pid: {**memory_of(pid), **mappings_of(pid)} for pid in site.tree()}
        counts = count(site, status, told)
    except (FileNotFoundError, ProcessLookupError):
        return None
    if memory is None:
        return None
    live = {name: sum(counts[name] for counts in told.values()) for name in LIVE}
    return Rest(memory["Pss_Anon"] + memory["Pss_Shmem"], live, counts, counters, each)


def largest(counters, owner):
    """Of each kind of descriptor, the most that one of these processes has."""
    kinds = set().union(*counters)
    return {f"{owner}'s descriptors ({kind})": max(counter[kind] for counter in counters) for kind in kinds}


def count(site, status, told):
    workers = [worker["pid"] for worker in status["workers"]]
    others = [pid for pid in site.tree() if pid != site.pid and pid not in workers]
    counts = {
        **largest([descriptors_of(site.pid)], "master"),
        **largest([descriptors_of(pid) for pid in workers], "worker"),
        "master's threads": threads_of(site.pid),
        "worker's threads": max(threads_of(pid) for pid in workers),
        "other processes": len(others),
    }
    for name in COUNTED:
        counts[f"worker's {name}"] = max(counts[name] for counts in told.values())
    return counts


def after_equal_work(rests):
    """Those behind stretches with about as much work as the busiest: a machine that has much else to do makes idle ones,
    which leave less behind."""
    most_answers = max(rest.answers for rest in rests)
    return [rest for rest in rests if rest.answers >= most_answers * EQUAL_PART]


class Growth:
    """Of a value over moments, as parts of itself: `fitted` along the line from the first of them to the last, which is
    `least` to `most` with a probability of 99 %."""

    def __init__(self, moments, values):
        slopes = sorted(
            (value - former) / (at - before)
            for index, (before, former) in enumerate(zip(moments, values))
            for at, value in zip(moments[index + 1 :], values[index + 1 :])
        )
        count, pairs = len(moments), len(slopes)
        spread = NORMAL_99 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
        scale = (moments[-1] - moments[0]) / (statistics.median(values) or 1)  # no malloc of its own says 0
        self.fitted = statistics.median(slopes) * scale
        self.least = slopes[max(0, math.floor((pairs - spread) / 2))] * scale
        self.most = slopes[min(pairs - 1, math.ceil((pairs + spread) / 2))] * scale

    def __str__(self):
        return f"{self.fitted * 100:+.2f} % ({self.least * 100:+.2f} to {self.most * 100:+.2f})"

    def exceeds(self, limit):
        """More than that, and not by chance."""
        return self.fitted > limit and self.least > 0


def most(rests, name):
    return max(rest.counts.get(name, 0) for rest in rests)


def grown_counts(warm, last):
    """The counts that are larger at last than they ever were while the server warmed up."""
    return [
        f"{name}: {value} after {most(warm, name)}"
        for name, value in sorted(last.counts.items())
        if value > most(warm, name)
    ]
