"""The server that the handlers of `fetch` and `fanout` ask: limit-epoll, whose CPU time nobody counts."""

import subprocess

from driver.peers import LIMITS, PEERS
from driver.probe import probe
from driver.process import Server
from driver.works import HELLO, Work

ORIGIN = Work("origin", "what the origin answers", "/", HELLO)


def build_limits():
    """Builds bench/peers/limits. None, or why it could not."""
    for step in (["cmake", "-S", PEERS / "limits", "-B", LIMITS], ["cmake", "--build", LIMITS]):
        try:
            result = subprocess.run(step, capture_output=True, text=True)
        except OSError as error:
            return str(error)
        if result.returncode != 0:
            return (result.stderr or result.stdout).strip()
    return None


class Origin:
    """Runs on `core`, the load generator's. Raises StartError when it cannot."""

    def __init__(self, port, core, tmp):
        self.url = f"http://127.0.0.1:{port}"
        self.server = Server([str(LIMITS / "limit-epoll"), str(port)], core, tmp / "origin.log")
        try:
            self.server.wait_until(lambda: probe(port, ORIGIN))
        except BaseException:
            self.server.stop()
            raise

    def stop(self):
        self.server.stop()
