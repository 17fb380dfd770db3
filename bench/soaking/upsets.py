"""What happens to a server while it is under load, and how long each may take to have happened."""

import asyncio
import os
import shutil
import signal
import time

from soaking.load import Kill
from soaking.site import SiteError
from soaking.wire import connect, request_bytes

VERSION = 'local app = require("moonloop").app()\napp:get("/", function() return "version %d\\n" end)\nreturn app\n'
BROKEN = 'local app = require("moonloop").app()\nerror("meant to be refused %d")\n'


class Upsets:
    """Does things to `site`, whose load is `load`, and sees that they have happened. Raises SiteError."""

    def __init__(self, site, load):
        self.site = site
        self.load = load
        self.random = load.random
        self.version = 0
        self.done = []  # (monotonic, name)

    async def do(self, name):
        self.done.append((time.monotonic(), name))
        await getattr(self, name)()

    async def answer_of(self, target):
        connection = await connect(self.site.unix_path)
        try:
            await connection.send(request_bytes("GET", target))
            return (await connection.read_answer()).body
        finally:
            connection.close()

    def save(self, text):
        """In one step, as deployments do: this program may be held up between two."""
        draft = self.site.folder / "changing.lua"
        draft.write_text(text)
        os.replace(draft, self.site.apps / "changing.lua")

    async def reload(self):
        """Saves an app; the next version answers in every worker."""
        self.version += 1
        wanted = b"version %d\n" % self.version
        self.save(VERSION % self.version)

        async def is_there():
            return await self.answer_of("/changing/") == wanted

        await self.site.wait_for(f"version {self.version}", is_there)

    async def reload_broken(self):
        """Saves an app that does not load: refused, and the version before it answers."""
        wanted = b"version %d\n" % self.version
        self.save(BROKEN % self.version)

        async def is_told():
            return bool((await self.site.status())["failures"])

        await self.site.wait_for("the refusal", is_told)
        if await self.answer_of("/changing/") != wanted:
            raise SiteError(f"{self.site.name}: broken code has changed an answer")
        await self.reload()

    async def configuration(self):
        """HUP: reads configuration and apps anew."""
        self.site.signal("SIGHUP")

    async def rotate(self):
        """Moves the logs away and has them opened anew."""
        journal = self.site.journal
        journal.move()
        self.site.signal("SIGUSR1")
        await self.site.wait_for("a new log", journal.path.exists)
        journal.open()

    async def certificate(self):
        """Another certificate takes the place of the one before."""
        for name in ("server.pem", "server.key"):
            other = self.site.tls / f"{name}.other"
            spare = self.site.tls / f"{name}.spare"
            shutil.copy(self.site.tls / name, spare)
            os.replace(other, self.site.tls / name)
            os.replace(spare, other)
        await asyncio.sleep(2)  # looked at once a second

    async def kill(self):
        """SIGKILL to a worker; another serves in its place."""
        worker = self.random.choice(await self.site.serving())
        kill = Kill(worker["pid"])
        self.load.kills.append(kill)
        os.kill(worker["pid"], signal.SIGKILL)
        while os.path.exists(f"/proc/{worker['pid']}"):
            await asyncio.sleep(0.002)
        kill.end = time.monotonic()
        await self.wait_full({worker["pid"]})

    async def retire(self):
        """TERM to a worker: it finishes, and another serves."""
        worker = self.random.choice(await self.site.serving())
        os.kill(worker["pid"], signal.SIGTERM)
        await self.wait_full({worker["pid"]})

    async def restart(self):
        """All workers, one by one."""
        await self.site.must_call("restart", "--wait")

    async def scale(self):
        """Two workers more, then as many as before."""
        await self.site.must_call("scale", str(self.site.workers + 2))
        await self.wait_full(set(), self.site.workers + 2)
        await self.site.must_call("scale", str(self.site.workers))
        await self.wait_full(set())

    async def signals(self):
        """The same by TTIN and TTOU."""
        self.site.signal("SIGTTIN")
        await self.wait_full(set(), self.site.workers + 1)
        self.site.signal("SIGTTOU")
        await self.wait_full(set())

    async def upgrade(self):
        """The program takes its own place, master and workers."""
        former = {worker["pid"] for worker in await self.site.serving()}
        await self.site.must_call("upgrade")
        await self.wait_full(former)

    async def wait_full(self, gone, count=None):
        """Until `count` workers serve, none of them one of `gone`, and no other is there."""

        async def is_full():
            workers = (await self.site.status())["workers"]
            serving = {worker["pid"] for worker in workers if worker["state"] == "serving"}
            return len(serving) == (count or self.site.workers) and not serving & gone

        await self.site.wait_for(f"{count or self.site.workers} workers", is_full)
