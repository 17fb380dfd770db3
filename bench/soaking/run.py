"""The run: servers, their loads and upsets, in equal stretches with a rest after each."""

import asyncio
import json
import ssl
import sys
import time

from soaking import acts, rest, rude
from soaking.certificates import make_certificates
from soaking.load import MOST_FAILURES, Load
from soaking.origin import Origin
from soaking.site import Site, SiteError
from soaking.sockets import SOCKETS
from soaking.upsets import Upsets

STRETCHES = 30
SHORTEST_SECONDS = 5
SLOW_STRETCH_SECONDS = 40
UPSET_PART = 0.7  # of a stretch; the rest of it is calm, so that all workers have done everything
SAMPLE_SECONDS = 5
OPTIONS = (
    "--threads 2 --processes 1 --header-timeout 8 --body-timeout 8 --send-timeout 4 --keepalive 15 --timeout 30"
    " --graceful-timeout 30"
).split()
SITES = {  # workers, over TLS, options, seconds between two upsets, upsets with weights, the last of each stretch
    "lasting": (2, True, [], 6,
                {"reload": 8, "reload_broken": 2, "configuration": 1, "rotate": 1, "certificate": 1},
                ["reload"]),
    "replaced": (3, False, ["--max-requests", "1600", "--max-requests-jitter", "200"], 8,
                 {"reload": 2, "kill": 3, "retire": 2, "restart": 1, "scale": 1, "signals": 1},
                 ["reload", "restart"]),
    # For a minute after an upgrade the master keeps what its way back takes: at every rest, or at none.
    "upgraded": (2, True, [], 12, {"reload": 1, "upgrade": 3, "restart": 1}, ["upgrade", "reload", "restart"]),
}


class Soak:
    """The whole run. `problems` are the reasons to exit with 1."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.begin = time.monotonic()
        self.sites, self.loads, self.upsets = {}, {}, {}
        self.rests = {name: [] for name in SITES}
        self.samples = {name: [] for name in SITES}
        self.ticks = dict.fromkeys(SITES, 0)
        self.answers = dict.fromkeys(SITES, 0)
        self.problems = []
        self.stretch = 0
        self.stretches, self.stretch_seconds = plan(options.minutes * 60)

    async def start(self):
        sealed = [name for name, (_, is_tls, *_) in SITES.items() if is_tls]
        client_tls = make_certificates(self.folder, sealed)
        tls = self.folder / f"tls-{sealed[0]}"
        server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_tls.load_cert_chain(tls / "server.pem", tls / "server.key")
        self.origin = Origin()
        await self.origin.start(server_tls)
        places = {"origin": self.origin.url, "sealed": self.origin.sealed_url, "ca": self.folder / "ca.pem"}
        for index, (name, (workers, is_tls, words, *_)) in enumerate(SITES.items()):
            folder = self.folder / name
            folder.mkdir()
            tls = self.folder / f"tls-{name}" if is_tls else None
            site = Site(name, self.options.moonloop, folder, workers, tls, OPTIONS + words)
            site.prepare(places)
            await site.start()
            rate = self.options.rate / len(SITES)
            load = Load(site, self.acts(), acts.TIMED + rude.TIMED, rate,
                        client_tls if is_tls else None, self.options.seed + index)
            self.sites[name], self.loads[name], self.upsets[name] = site, load, Upsets(site, load)

    def acts(self):
        """What clients do, without what would outlast a stretch."""
        left_out = rude.SLOW if self.stretch_seconds < SLOW_STRETCH_SECONDS else ()
        return [(weight, act) for weight, act in acts.COMMON + SOCKETS + rude.RUDE if act not in left_out]

    async def run(self):
        watching = asyncio.ensure_future(self.watch())
        try:
            for self.stretch in range(self.stretches):
                due = self.begin + (self.stretch + 1) * self.stretch_seconds
                self.busy_seconds = max(SHORTEST_SECONDS / 3, due - time.monotonic() - tail_seconds(self.stretch_seconds))
                await asyncio.gather(*(self.run_stretch(name) for name in SITES))
                await asyncio.gather(*(self.use_all(name) for name in SITES))
                self.origin.close_idle()  # what the workers' clients have kept
                await asyncio.gather(*(self.look(name) for name in SITES))
                if self.is_hopeless():
                    break
        finally:
            watching.cancel()

    def is_hopeless(self):
        return any(len(load.failures) >= MOST_FAILURES for load in self.loads.values())

    async def run_stretch(self, name):
        load = asyncio.ensure_future(self.loads[name].run(self.busy_seconds))
        try:
            await self.run_upsets(name)
        except (SiteError, OSError) as error:
            self.problems.append(f"{clock()} {error}")
        await load

    async def run_upsets(self, name):
        *_, pause, weights, last = SITES[name]
        upsets = self.upsets[name]
        end = time.monotonic() + self.busy_seconds * UPSET_PART
        pause = min(pause, self.busy_seconds / 5)
        while time.monotonic() + pause < end:
            await asyncio.sleep(pause)
            await upsets.do(upsets.random.choices(list(weights), list(weights.values()))[0])
        for name in last:
            await upsets.do(name)

    async def use_all(self, name):
        try:
            await rest.use_all(self.sites[name])
        except SiteError as error:
            self.problems.append(f"{clock()} {error}")

    async def look(self, name):
        try:
            found = await rest.look(self.sites[name], self.stretch + 1)
        except SiteError as error:
            self.problems.append(f"{clock()} {error}")
            return
        found.answers = self.loads[name].answers - self.answers[name]
        self.answers[name] = self.loads[name].answers
        self.rests[name].append(found)
        with open(self.folder / "rests.jsonl", "a") as file:
            print(json.dumps({"site": name, "stretch": self.stretch, **vars(found)}), file=file)
        self.samples[name].append((found.at, found.memory))
        self.problems += [f"{clock()} {name}: {wrong}" for wrong in self.miscounted(name, found.counters)]
        self.problems += [f"{name}: unexpected in the log: {line}" for line in self.sites[name].journal.read()]

    def miscounted(self, name, counters):
        """What the server counted otherwise than its clients: an increment lost, or one too many. Only what a killed
        worker took with it may be there without having been answered."""
        marks = self.loads[name].marks
        for key in sorted(mark.removeprefix("asked ") for mark in marks if mark.startswith("asked ")):
            asked, answered, value = marks["asked " + key], marks["answered " + key], counters.get(key, 0)
            least = 0 if key == "after" and self.loads[name].kills else answered
            if not least <= value <= asked:
                yield f"{key} is {value}; {answered} of {asked} requests to count it were answered"
        if counters["ticks"] <= self.ticks[name]:
            yield f"the timer has not run: {counters['ticks']} ticks"
        self.ticks[name] = counters["ticks"]

    async def watch(self):
        """Samples memory for the picture and says how it goes."""
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            for name, site in self.sites.items():
                memory = site.memory()
                if memory:
                    self.samples[name].append((time.monotonic(), memory["Pss_Anon"] + memory["Pss_Shmem"]))
            self.say()

    def say(self):
        passed = time.monotonic() - self.begin
        answers = sum(load.answers for load in self.loads.values())
        failures = sum(load.counts["failures"] for load in self.loads.values()) + len(self.problems)
        memory = "  ".join(f"{name} {samples[-1][1] / 1e6:.1f} MB" for name, samples in self.samples.items() if samples)
        text = (f"{passed / 60:5.1f} min  stretch {self.stretch + 1}/{self.stretches}  {answers} answers, {failures} failures,"
                f" {sum(len(upsets.done) for upsets in self.upsets.values())} upsets  {memory}")
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        elif int(passed) % 60 < SAMPLE_SECONDS:
            print(text, file=sys.stderr, flush=True)

    async def stop(self):
        for site in self.sites.values():
            try:
                await site.stop()
            except SiteError as error:
                self.problems.append(f"{clock()} {error}")
        await self.origin.stop()


def clock():
    return time.strftime("%H:%M:%S")


def plan(seconds):
    """How many stretches, and how long each is with its rest."""
    count = max(4, min(STRETCHES, int(seconds / SHORTEST_SECONDS)))
    return count, seconds / count


def tail_seconds(stretch_seconds):
    """For what is slow to end, and for the rest."""
    return min(24, stretch_seconds / 2)
