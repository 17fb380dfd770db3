"""The one server that a measurement of bench/micro looks at, and a client that is cheap and exact."""

import argparse
import os
import socket
import sys
from pathlib import Path

from driver.origin import Origin, build_limits
from driver.peers import ALL_PEERS, ROOT, Launch
from driver.probe import probe, read_answer
from driver.process import Server, ServerError, process_tree
from driver.works import WORKS

WORKS_BY_NAME = {work.name: work for work in WORKS if work.pipeline == 1}


def option_parser(name, description, work="hello"):
    """--peer, --work and --moonloop, which every measurement has."""
    names = [peer.name for peer in ALL_PEERS]
    parser = argparse.ArgumentParser(prog=f"bench/micro/{name}", description=description)
    parser.add_argument("--peer", choices=names, default="moonloop", help="measure another server (moonloop)")
    parser.add_argument("--work", choices=WORKS_BY_NAME, default=work, help="ask for something else")
    parser.add_argument("--moonloop", type=Path, default=ROOT / "build" / "moonloop", metavar="BINARY")
    return parser


def free_port():
    """One that nobody listens on: several measurements of instructions may run at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Subject:
    """A running server that answers one work. `prefix` goes before its command."""

    def __init__(self, options, tmp, prefix=(), start_seconds=15):
        peer = next(peer for peer in ALL_PEERS if peer.name == options.peer)
        self.work = WORKS_BY_NAME[options.work]
        self.port = free_port()
        self.origin = self.start_origin(tmp) if self.work.needs_origin else None
        url = self.origin.url if self.origin else ""
        launch = Launch(self.work.name, self.port, Path(tmp), options.moonloop.absolute(), url)
        reason = peer.skip_reason(launch)
        if reason:
            sys.exit(f"bench/micro: {peer.name}: {reason}")
        core = min(os.sched_getaffinity(0))
        argv = [*prefix, *peer.command(launch)]
        self.server = Server(argv, core, Path(tmp) / "server.log", launch.environment())
        try:
            self.server.wait_until(lambda: probe(self.port, self.work), start_seconds)
        except ServerError as error:
            self.stop()
            sys.exit(f"bench/micro: {peer.name}: {error}")

    def start_origin(self, tmp):
        reason = build_limits()
        if reason:
            sys.exit(f"bench/micro: the origin was not built: {reason}")
        return Origin(free_port(), max(os.sched_getaffinity(0)), Path(tmp))

    def stop(self):
        self.server.stop(30)
        if self.origin:
            self.origin.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def workers(self):
        """The processes below the first one, or that one when it works alone."""
        return process_tree(self.server.pid)[1:] or [self.server.pid]

    def connect(self):
        return Connection(self.port, self.work)


class Connection:
    """A keep-alive connection that asks for one work."""

    def __init__(self, port, work):
        self.work = work
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.stream = self.socket.makefile("rb")
        self.request = work.request()

    def ask(self):
        """One request and its answer. Raises ServerError when that is not the right one."""
        self.socket.sendall(self.request)
        status, body, _ = read_answer(self.stream)
        if status != 200 or not self.work.is_right(body):
            raise ServerError(f"wrong answer: status {status}, body {body[:200]!r}")

    def close(self):
        self.stream.close()
        self.socket.close()
