"""A server under test, with what is known of it from outside: the kernel's counts and its own status."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

from driver.process import process_tree

from soaking.journal import Journal

APPS = Path(__file__).resolve().parent / "apps"
START_SECONDS = 60
STOP_SECONDS = 60
CALL_SECONDS = 60
POLL_SECONDS = 0.1
ARENA_BYTES = 64 * 1024 * 1024  # glibc's HEAP_MAX_SIZE, of which its arenas' heaps are aligned
# malloc counts what each thread keeps at hand of small blocks as in use, some 200 KB that fill slowly.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
SUMS = ("Rss", "Pss", "Pss_Anon", "Pss_Shmem")


class SiteError(Exception):
    """The server did not do what it was asked for. The text says what."""


def memory_of(pid):
    """What smaps_rollup says of a process, in bytes: {name: bytes}."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {name: int(re.search(rf"^{name}:\s+(\d+)", text, re.M)[1]) * 1024 for name in SUMS}


def kind_of(words):
    """Of a mapping's line in smaps: what it is for."""
    begin, end = (int(part, 16) for part in words[0].split("-"))
    name = words[5] if len(words) > 5 else ""
    if words[1].endswith("s"):
        return "shared"
    if name and not name.startswith("["):
        return "files"
    if name == "[heap]":
        return "heap"
    return "arenas" if begin % ARENA_BYTES == 0 and end - begin < ARENA_BYTES else "blocks"


def mappings_of(pid):
    """Where the memory of a process is, in bytes: {"heap": n, "arenas": n, "blocks": n, "files": n, "shared": n}. Arenas are those of
    malloc for other threads; blocks are LuaJIT's, large ones of malloc, and stacks; files have private pages."""
    found, kind = Counter(), None
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0]:
            kind = kind_of(words)
        elif words[0] == ("Pss:" if kind == "shared" else "Anonymous:"):
            found[kind] += int(words[1]) * 1024
    return dict(found)


def descriptors_of(pid):
    """How many descriptors of each kind a process has: {"socket": 5, "anon_inode:[eventpoll]": 1}."""
    kinds = Counter()
    folder = f"/proc/{pid}/fd"
    for number in os.listdir(folder):
        try:
            target = os.readlink(f"{folder}/{number}")
        except FileNotFoundError:
            continue
        kinds[re.sub(r":\[\d+\]$|\d+", "", target)] += 1
    return kinds


def threads_of(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


class Site:
    """`name` says what happens to it; `tls` is a directory with server.pem and server.key, or None.

    `pid` is the master, `address` where TCP clients come, `unix_path` where others do.
    """

    def __init__(self, name, binary, folder, workers, tls=None, options=()):
        self.name = name
        self.binary = str(binary)
        self.folder = folder
        self.apps = folder / "apps"
        self.journal = Journal(folder / "server.log")
        self.workers = workers
        self.tls = tls
        self.options = list(options)
        self.unix_path = str(folder / "site.sock")
        self.process = None
        self.redirect = None

    def prepare(self, places):
        """Copies the apps; `places` is what their handlers have to know: {name: text}."""
        shutil.copytree(APPS, self.apps)
        (self.apps / "_lib").mkdir()
        lines = "".join(f"    {name} = {json.dumps(str(value))},\n" for name, value in places.items())
        (self.apps / "_lib" / "places.lua").write_text("return {\n" + lines + "}\n")

    def words(self):
        words = [self.binary, "serve", str(self.apps), "--bind", "127.0.0.1:0", "--bind", f"unix:{self.unix_path}"]
        words += ["--workers", str(self.workers), "--errorlog", str(self.journal.path)]
        if self.tls:
            words += ["--certfile", str(self.tls / "server.pem"), "--keyfile", str(self.tls / "server.key")]
            words += ["--redirect-bind", "127.0.0.1:0"]
        return words + self.options

    async def start(self):
        with open(self.folder / "output.txt", "wb") as output:
            self.process = subprocess.Popen(
                self.words(), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                cwd=self.folder, start_new_session=True, env={**os.environ, **ENVIRONMENT},
            )
        self.pid = self.process.pid

        def urls():
            text = (self.folder / "output.txt").read_text()
            if self.process.poll() is not None:
                raise SiteError(f"{self.name} ended at its start: {text}")
            return " serves " in text and re.findall(r"^(\w+)://127\.0\.0\.1:(\d+)$", text, re.M)

        found = await self.wait_for("the server to serve", urls, START_SECONDS)
        scheme = "https" if self.tls else "http"
        self.address = next(("127.0.0.1", int(port)) for given, port in found if given == scheme)
        self.journal.open()
        self.redirect = next((("127.0.0.1", int(port)) for given, port in found if given != scheme), None)

    async def wait_for(self, what, probe, seconds=CALL_SECONDS):
        """Asks `probe` (a function, also one that waits) until it gives something true, and gives that."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            value = probe()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            if asyncio.get_running_loop().time() > deadline:
                raise SiteError(f"{self.name}: waited {seconds} s for {what}; the log ends: {self.journal.tail()}")
            await asyncio.sleep(POLL_SECONDS)

    async def call(self, *words):
        """A command about this server; its exit code and all that it wrote."""
        process = await asyncio.create_subprocess_exec(
            self.binary, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder,
            env={**os.environ, "MOONLOOP_APPS": str(self.apps)},
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), CALL_SECONDS)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
            raise SiteError(f"{self.name}: moonloop {' '.join(words)} took more than {CALL_SECONDS} s") from None
        return process.returncode, out.decode(), err.decode()

    async def must_call(self, *words):
        code, out, err = await self.call(*words)
        if code != 0:
            raise SiteError(f"{self.name}: moonloop {' '.join(words)} ended with {code}: {err or out}")
        return out

    async def status(self):
        return json.loads(await self.must_call("status", "--json"))

    async def serving(self):
        """The workers that serve, as status tells of them."""
        return [worker for worker in (await self.status())["workers"] if worker["state"] == "serving"]

    def tree(self):
        """The master and all that descends from it."""
        return process_tree(self.pid)

    def memory(self):
        """The sums over all of its processes, in bytes. None when one has ended meanwhile."""
        total = Counter()
        try:
            for pid in self.tree():
                total.update(memory_of(pid))
        except (FileNotFoundError, ProcessLookupError, TypeError):
            return None
        return total

    def signal(self, name):
        os.kill(self.pid, getattr(signal, name))

    async def stop(self):
        """Ends it in order. Raises SiteError when it does not, or not well."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            await self.wait_for("it to stop", lambda: self.process.poll() is not None, STOP_SECONDS)
        except SiteError:
            for pid in self.tree():
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
            raise
        if self.process.returncode != 0:
            raise SiteError(f"{self.name}: ended with {self.process.returncode}: {self.journal.tail()}")
