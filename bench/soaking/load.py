"""The load on one server: asks at a fixed rate, keeps connections, and judges whatever does not go well.

An answer may be lost for two reasons alone, and both are looked at closely. Its worker was killed (SIGKILL):
then its connection must have stood before that worker was gone, and an earlier answer on it, if there was one,
must have come from that worker. Or a connection was closed after half a second without a request by a worker that
leaves: then the request is sent once more, on a new connection. Everything else is a failure.
"""

import asyncio
import random
import sys
import time
from collections import Counter, deque

from soaking.wire import Lost, Wrong, connect, request_bytes

ACT_SECONDS = 40
MOST_FAILURES = 20
KEPT = 12
DRAIN_SECONDS = 0.4  # a worker that leaves gives an idle connection half a second
AT_ONCE = 48
TICK_SECONDS = 0.02
LATE_SECONDS = 0.25  # held up for longer than that, this program asks nothing new
PATIENT_SECONDS = 2  # held up for longer than that, it is no judge of time
HOLD_UP_SECONDS = 3  # how long it counts that this program was held up
LOST_WITH_WORKER = "lost with a killed worker"
CLOSED_IDLE = "closed while quiet"
HELD_UP = "not judged"


class Kill:
    """A worker was killed: it is certainly gone at `end`."""

    def __init__(self, pid):
        self.pid = str(pid)
        self.end = None


class Load:
    """Runs acts on `site`. `acts` is a list of (weight, function of a Client), `timed` those that go by the clock."""

    def __init__(self, site, acts, timed, rate, tls, seed):
        self.site = site
        self.acts = [act for _, act in acts]
        self.weights = [weight for weight, _ in acts]
        self.timed = timed
        self.rate = rate
        self.tls = tls
        self.random = random.Random(seed)
        self.kept = []
        self.running = set()
        self.kills = []
        self.failures = []
        self.counts = Counter()  # by act, and what else is worth a number
        self.marks = Counter()  # what the server must have counted as well
        self.answers = 0
        self.late = 0
        self.hold_ups = deque(maxlen=int(HOLD_UP_SECONDS / TICK_SECONDS))
        self.held_up_total = 0.0
        self.held_up = 0.0  # the longest that this program could not do what was due, in seconds

    def fail(self, what):
        if len(self.failures) < MOST_FAILURES:
            self.failures.append(f"{time.strftime('%H:%M:%S')} {self.site.name}: {what}")
            print("\r" + self.failures[-1], file=sys.stderr, flush=True)
        self.counts["failures"] += 1

    async def run(self, seconds):
        """Asks for that long, then waits until everything is answered and no connection is left."""
        begin = last = time.monotonic()
        started = 0
        while last - begin < seconds:
            now = time.monotonic()
            self.note_hold_up(now - last - TICK_SECONDS)
            last, due = now, (now - begin) * self.rate
            while started < due:
                started += 1
                if len(self.running) >= AT_ONCE or self.hold_ups[-1] > LATE_SECONDS:
                    self.late += 1
                    continue
                self.begin_act()
            await asyncio.sleep(TICK_SECONDS)
        while self.running:
            await asyncio.wait(set(self.running))
        for connection in self.kept:
            connection.close()
        self.kept.clear()

    def note_hold_up(self, seconds):
        """This program, or all of the machine, stood still for that long."""
        self.held_up = max(self.held_up, seconds)
        self.held_up_total += max(0, seconds)
        self.hold_ups.append(max(0, seconds))

    def begin_act(self):
        act = self.random.choices(self.acts, self.weights)[0]
        task = asyncio.ensure_future(self.run_act(act))
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def run_act(self, act):
        client = Client(self)
        self.counts[act.__name__] += 1
        try:
            await asyncio.wait_for(act(client), ACT_SECONDS)
        except Lost as loss:
            if client.excuses:
                self.counts.update(client.excuses)
            else:
                self.blame(client, act, loss)
        except Wrong as wrong:
            self.blame(client, act, wrong)
        except asyncio.TimeoutError:
            self.blame(client, act, f"not over after {ACT_SECONDS} s")
        except Exception as error:  # of this program, or an answer beyond imagination
            self.fail(f"{act.__name__}: {client.asked}: {error!r} ({client.describe()})")
        finally:
            client.close()

    def blame(self, client, act, what):
        """What goes by the clock, on either side, is no failure when this program was late itself."""
        if act in self.timed and self.held_up_total - client.held_up_before > PATIENT_SECONDS:
            self.counts[HELD_UP] += 1
        else:
            self.fail(f"{act.__name__}: {client.asked}: {what} ({client.describe()})")

    def is_lost_with_worker(self, connection):
        """Whether a killed worker may have taken this connection with it."""
        return any(
            (kill.end is None or connection.opened <= kill.end) and connection.worker in (None, kill.pid)
            for kill in self.kills
        )


class Client:
    """What an act works with: connections that it has for itself until it ends."""

    def __init__(self, load):
        self.load = load
        self.random = load.random
        self.marks = load.marks
        self.mine = []
        self.asked = "nothing asked"
        self.excuses = set()
        self.held_up_before = load.held_up_total

    def describe(self):
        """The connection that was used last, for a report."""
        if not self.mine:
            return "no connection"
        last = self.mine[-1]
        now = time.monotonic()
        return (f"connection {'TLS' if last.is_tls else 'plain'}, {now - last.opened:.2f} s old, request"
                f" {last.requests + 1}, quiet {last.quiet:.2f} s before it, {now - last.used:.2f} s since the last"
                f" answer, worker {last.worker}")

    def close(self):
        for connection in self.mine:
            connection.close()
        self.mine.clear()

    async def connect(self, tcp=False, **how):
        """A new connection: over TCP (with TLS where the server has it), now and then over the Unix socket."""
        if not tcp and self.random.random() < 0.2:
            return await self.connect_to(self.load.site.unix_path)
        return await self.connect_to(self.load.site.address, self.load.tls, **how)

    async def connect_to(self, address, tls=None, **how):
        begin = time.monotonic()
        try:
            connection = await connect(address, tls, **how)
        except Lost as loss:  # in the middle of a handshake; refused is never right
            killed = any(kill.end is None or begin <= kill.end for kill in self.load.kills)
            if killed and "Refused" not in str(loss):
                self.excuses.add(LOST_WITH_WORKER)
            raise
        self.load.counts["connections"] += 1
        self.mine.append(connection)
        return connection

    async def take(self):
        """A connection that was kept, or a new one."""
        kept = self.load.kept
        while kept:
            connection = kept.pop(self.random.randrange(len(kept)))
            if not connection.is_ended():
                self.mine.append(connection)
                return connection
            connection.close()
        return await self.connect()

    def give(self, connection):
        """Back to those that are kept, if there is room and the server keeps it too."""
        self.mine.remove(connection)
        if len(self.load.kept) < KEPT and not connection.is_ended():
            self.load.kept.append(connection)
        else:
            connection.close()

    def excuse(self, connection):
        """Looks at whose fault a lost connection is."""
        if self.load.is_lost_with_worker(connection):
            self.excuses.add(LOST_WITH_WORKER)
        elif connection.quiet >= DRAIN_SECONDS and not connection.has_begun:
            self.excuses.add(CLOSED_IDLE)

    async def send(self, connection, data):
        """The beginning of a request. Raises Lost, having looked at whose fault it is, as all of these."""
        connection.has_begun = False
        connection.quiet = self.quiet_seconds(connection)
        try:
            await connection.send(data)
        except Lost:
            self.excuse(connection)
            raise

    async def exchange(self, connection, data, method="GET"):
        """Sends bytes, reads an answer."""
        await self.send(connection, data)
        return await self.read(connection, method)

    def quiet_seconds(self, connection):
        """For how long the server may have seen nothing on it: what this program was held up counts."""
        since = connection.used if connection.requests else connection.opened
        return time.monotonic() - since + max(self.load.hold_ups, default=0)

    async def read(self, connection, method="GET"):
        try:
            answer = await connection.read_answer(method)
        except Lost:
            self.excuse(connection)
            raise
        self.load.answers += 1
        return answer

    async def ask(self, method, target, body=None, fields=(), is_fresh=None):
        """One request on a connection of either kind; the answer."""
        self.asked = f"{method} {target}"
        data = request_bytes(method, target, fields, body)
        if is_fresh is None:
            is_fresh = self.random.random() < 0.15
        connection = await (self.connect() if is_fresh else self.take())
        try:
            answer = await self.exchange(connection, data, method)
        except Lost:
            if CLOSED_IDLE not in self.excuses:
                raise
            self.excuses.discard(CLOSED_IDLE)
            self.load.counts[CLOSED_IDLE] += 1
            answer = await self.exchange(await self.connect(), data, method)
            connection = self.mine[-1]
        if answer.is_last:
            connection.close()
            self.mine.remove(connection)
        elif connection in self.mine:
            self.give(connection)
        return answer

    async def expect(self, method, target, wanted, status=200, **how):
        """Asks and looks at status and body: `wanted` are its bytes, or None for whatever they are."""
        answer = await self.ask(method, target, **how)
        self.check(answer, status, wanted)
        return answer

    def check(self, answer, status, wanted=None):
        if answer.status != status:
            raise Wrong(f"status {answer.status} instead of {status}: {answer.body[:200]!r}")
        if wanted is not None and answer.body != wanted:
            raise Wrong(f"{len(answer.body)} bytes {answer.body[:80]!r} instead of {len(wanted)} bytes {wanted[:80]!r}")
