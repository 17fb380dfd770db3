"""The one server that a measurement of bench/micro looks at, and a client that is cheap and exact."""

import argparse
import os
import socket
import sys
from pathlib import Path

from driver.peers import ALL_PEERS, ROOT, Launch
from driver.probe import probe
from driver.process import Server, ServerError, process_tree
from driver.works import WORKS

HELLO = WORKS[0]
FIRST_PORT = 21250


def option_parser(name, description):
    """--peer and --moonloop, which every measurement has."""
    names = [peer.name for peer in ALL_PEERS]
    parser = argparse.ArgumentParser(prog=f"bench/micro/{name}", description=description)
    parser.add_argument("--peer", choices=names, default="moonloop", help="measure another server (moonloop)")
    parser.add_argument("--moonloop", type=Path, default=ROOT / "build" / "moonloop", metavar="BINARY")
    return parser


class Subject:
    """A running server that answers hello. `prefix` goes before its command."""

    def __init__(self, options, tmp, prefix=(), start_seconds=15):
        peer = next(peer for peer in ALL_PEERS if peer.name == options.peer)
        self.port = FIRST_PORT + ALL_PEERS.index(peer)
        launch = Launch(HELLO.name, self.port, Path(tmp), options.moonloop.absolute())
        reason = peer.skip_reason(launch)
        if reason:
            sys.exit(f"bench/micro: {peer.name}: {reason}")
        core = min(os.sched_getaffinity(0))
        argv = [*prefix, *peer.command(launch)]
        self.server = Server(argv, core, Path(tmp) / "server.log")
        try:
            self.server.wait_until(lambda: probe(self.port, HELLO), start_seconds)
        except ServerError as error:
            self.server.stop()
            sys.exit(f"bench/micro: {peer.name}: {error}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop(30)

    def workers(self):
        """The processes below the first one, or that one when it works alone."""
        return process_tree(self.server.pid)[1:] or [self.server.pid]

    def connect(self):
        return Connection(self.port)


class Connection:
    """A keep-alive connection that asks for hello."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.request = HELLO.request()

    def ask(self):
        """One request and its answer. Raises ServerError when that is not hello."""
        self.socket.sendall(self.request)
        answer = self.socket.recv(4096)
        while not answer.endswith(HELLO.answer.encode()):
            more = self.socket.recv(4096)
            if not more:
                raise ServerError(f"the connection was closed after {answer!r}")
            answer += more
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise ServerError(f"wrong answer: {answer!r}")

    def close(self):
        self.socket.close()
