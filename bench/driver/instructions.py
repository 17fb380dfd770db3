"""Counts instructions with callgrind, and keeps a figure beside the one before."""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from driver.peers import BENCH
from driver.process import ServerError
from driver.report import commit
from driver.subject import Subject

TOLERANCE = 0.02
VALGRIND = ["valgrind", "--quiet", "--tool=callgrind", "--trace-children=yes", "--smc-check=all-non-file"]


def check_valgrind():
    if shutil.which("valgrind") is None:
        sys.exit("bench/micro: valgrind is not installed")


def read_total(path):
    """Instructions of a whole process, from callgrind's own sum."""
    match = re.search(r"^(?:summary|totals): (\d+)", path.read_text(errors="replace"), re.MULTILINE)
    if match is None:
        raise ServerError(f"callgrind left no sum in {path.name}")
    return int(match.group(1))


def count_life(options, requests):
    """Instructions of the busiest worker over its whole life."""
    with tempfile.TemporaryDirectory(prefix="moonloop-callgrind-") as tmp:
        prefix = [*VALGRIND, f"--callgrind-out-file={tmp}/callgrind.%p"]
        with Subject(options, tmp, prefix, start_seconds=120) as subject:
            workers = subject.workers()
            connection = subject.connect()
            for _ in range(requests):
                connection.ask()
            connection.close()
        files = [Path(tmp) / f"callgrind.{pid}" for pid in workers]
        totals = [read_total(path) for path in files if path.exists()]
        if not totals:
            raise ServerError("the worker ended without callgrind's file: it must end by exit, not by a signal")
        return max(totals)


def count_instructions(options):
    """Instructions of one request: the difference between 2N of them and N, which leaves out start-up."""
    first = count_life(options, options.requests)
    second = count_life(options, 2 * options.requests)
    instructions = round((second - first) / options.requests)
    print(f"{options.peer}: {instructions} instructions per {options.work} request")
    return instructions


class Kept:
    """The file that keeps the figures of works, one line each."""

    def __init__(self, path, tolerance=TOLERANCE):
        self.path = path
        self.tolerance = tolerance
        text = path.read_text() if path.exists() else ""
        self.figures = {name: int(figure) for name, figure in re.findall(r"^(\w+): (\d+)$", text, re.MULTILINE)}

    def compare(self, work, instructions):
        """Says how the figure stands to the kept one; True when it has grown too much."""
        kept = self.figures[work]
        change = instructions / kept - 1
        print(f"kept: {kept}, change {change:+.1%}")
        if change > self.tolerance:
            print(f"GROWN by more than {self.tolerance:.0%}: find out why, or keep the new figure with --update")
        elif change < -self.tolerance:
            print("fewer than before: keep the new figure with --update")
        return change > self.tolerance

    def settle(self, work, instructions, is_update):
        """Keeps the figure when it is new or wanted, else compares. True when it has grown too much."""
        if work in self.figures and not is_update:
            return self.compare(work, instructions)
        self.figures[work] = instructions
        lines = [f"{name}: {figure}\n" for name, figure in self.figures.items()]
        self.path.write_text("".join(lines) + f"commit: {commit()}\n")
        print(f"kept in {self.path.relative_to(BENCH.parent)}")
        return False
