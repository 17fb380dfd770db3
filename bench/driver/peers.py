"""The servers that are compared: how each is started, and what it cannot do."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
PEERS = BENCH / "peers"
LIMITS = ROOT / "build" / "bench-limits"
NODE_MODULES = ROOT / "build" / "bench-node" / "node_modules"  # where bench/run puts undici
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's Tornado


@dataclass(frozen=True)
class Launch:
    """What a peer's start needs to know."""

    work: str
    port: int
    tmp: Path
    moonloop: Path
    origin: str = ""  # URL of the server that handlers ask, "" for none

    def environment(self):
        """What the server's own environment has."""
        return {"BENCH_ORIGIN": self.origin, "NODE_PATH": str(NODE_MODULES)} if self.origin else {}


@dataclass(frozen=True)
class Peer:
    name: str
    title: str
    command: object  # Launch -> argv
    package: str = ""  # whose version the report names
    works: tuple = ()  # empty: all
    cannot: tuple = ()  # (work, reason) pairs

    def is_for(self, work):
        return not self.works or work in self.works

    def skip_reason(self, launch):
        """Why this peer has no row for the work, or None."""
        for work, reason in self.cannot:
            if work == launch.work:
                return reason
        program = self.command(launch)[0]
        if shutil.which(program) is None:
            return f"{program} is not there; build or install it first"
        return None


def moonloop_command(launch):
    argv = [str(launch.moonloop), "serve", str(BENCH / "apps"), "--workers", "1", "--no-reload"]
    return argv + ["--bind", f"127.0.0.1:{launch.port}", "--errorlog", "-"]


def nginx_command(launch, client="cosockets"):
    config = launch.tmp / f"nginx-{client}.conf"
    text = (PEERS / "nginx" / "nginx.conf").read_text()
    user = "user root;" if os.geteuid() == 0 else ""
    filled = {"PORT": launch.port, "DIR": PEERS / "nginx", "TMP": launch.tmp, "USER": user}
    filled |= {"ORIGIN": launch.origin.removeprefix("http://") or "127.0.0.1:9", "CLIENT": client}
    for key, value in filled.items():
        text = text.replace(f"@{key}@", str(value))
    config.write_text(text)
    return ["nginx", "-p", str(launch.tmp), "-c", str(config), "-e", str(launch.tmp / "nginx-error.log")]


def nginx_subrequests_command(launch):
    return nginx_command(launch, "subrequests")


def node_command(launch):
    return ["node", str(PEERS / "node" / "app.js"), str(launch.port)]


def tornado_command(launch):
    return [PYTHON, str(PEERS / "tornado" / "app.py"), str(launch.port)]


def aiohttp_command(launch):
    return [PYTHON, str(PEERS / "aiohttp" / "app.py"), str(launch.port)]


def gunicorn_command(launch, *options):
    argv = ["/usr/bin/gunicorn", "--bind", f"127.0.0.1:{launch.port}", "--workers", "1"]
    argv += ["--keep-alive", "75", "--worker-connections", "2048", "--log-level", "warning"]
    return argv + ["--chdir", str(PEERS / "flask"), *options, "app:app"]


def gthread_command(launch):
    threads = 512 if launch.work == "sleep" else 8  # a sleeping request holds its thread
    return gunicorn_command(launch, "--worker-class", "gthread", "--threads", str(threads))


def gevent_command(launch):
    return gunicorn_command(launch, "--worker-class", "gevent")


def lua_limit_command(launch):
    work = "hello" if launch.work == "pipelined" else launch.work
    return [str(LIMITS / "limit-lua"), str(launch.port), work, str(PEERS / "limits" / "works.lua")]


def fixed_limit_command(name):
    return lambda launch: [str(LIMITS / name), str(launch.port)]


FIXED = ("hello", "pipelined")
ASKING = ("fetch", "fanout")
NO_PROXY = (("proxy", "no reverse proxy of its own"),)
WITHOUT_CLIENT = (*((work, "no client of its own that serves others meanwhile") for work in ASKING), *NO_PROXY)

ALL_PEERS = [
    Peer("moonloop", "moonloop", moonloop_command),
    Peer("limit-epoll", "bare epoll", fixed_limit_command("limit-epoll"), works=FIXED),
    Peer("limit-uv", "bare libuv + llhttp", fixed_limit_command("limit-uv"), "libuv1-dev", FIXED),
    Peer("limit-lua", "libuv + llhttp + a Lua call", lua_limit_command, "libluajit2-5.1-dev", cannot=WITHOUT_CLIENT),
    Peer("nginx", "nginx + lua-nginx-module", nginx_command, "libnginx-mod-http-lua"),
    Peer("nginx-subrequests", "nginx, its subrequests", nginx_subrequests_command, "libnginx-mod-http-lua", ASKING),
    Peer("node", "Node, node:http", node_command, "nodejs", cannot=NO_PROXY),
    Peer("tornado", "Tornado", tornado_command, "python3-tornado", cannot=NO_PROXY),
    Peer("aiohttp", "aiohttp", aiohttp_command, "python3-aiohttp", ASKING),
    Peer(
        "flask-gthread",
        "gunicorn gthread + Flask",
        gthread_command,
        "gunicorn",
        cannot=(("pipelined", "gthread leaves pipelined requests unanswered"), *WITHOUT_CLIENT),
    ),
    Peer("flask-gevent", "gunicorn gevent + Flask", gevent_command, "python3-gevent", cannot=WITHOUT_CLIENT),
]
