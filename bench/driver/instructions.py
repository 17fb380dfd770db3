"""Counts instructions with callgrind, and keeps a figure beside the one before."""

import re
import shutil
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from driver.peers import BENCH
from driver.process import ServerError
from driver.report import commit
from driver.subject import Subject

TOLERANCE = 0.02
WARM_UP = 2500  # requests after which everything that is made once is made, and Lua is compiled
VALGRIND = ["valgrind", "--quiet", "--tool=callgrind", "--trace-children=yes", "--smc-check=all-non-file"]
# A new file whenever a connection is accepted: what was counted since the one before.
VALGRIND += ["--dump-before=accept4"]


def check_valgrind():
    if shutil.which("valgrind") is None:
        sys.exit("bench/micro: valgrind is not installed")


def read_total(path):
    """Instructions of a whole process, from callgrind's own sum."""
    match = re.search(r"^(?:summary|totals): (\d+)", path.read_text(errors="replace"), re.MULTILINE)
    if match is None:
        raise ServerError(f"callgrind left no sum in {path.name}")
    return int(match.group(1))


def take_parts(directory):
    """Instructions of all files that callgrind has left since the last call; they are gone then."""
    paths = list(directory.glob("callgrind.*.*"))
    total = sum(read_total(path) for path in paths)
    for path in paths:
        path.unlink()
    return total


def ask_times(subject, requests):
    with closing(subject.connect()) as connection:
        for _ in range(requests):
            connection.ask()


def count_stretch(subject, directory, requests):
    """Instructions of a connection with that many requests, and of accepting the next."""
    ask_times(subject, 1)  # what was counted before is in files now
    take_parts(directory)
    ask_times(subject, requests)
    ask_times(subject, 1)
    return take_parts(directory)


def count_instructions(options):
    """Instructions of one request: the difference between 2N of them and N of the same process, which leaves out
    start-up and connections. Of several processes the median, since LuaJIT may compile in another order."""
    figures = sorted(count_in_one_process(options) for _ in range(options.processes))
    instructions = figures[len(figures) // 2]
    spread = f" (median of {figures[0]} to {figures[-1]})" if len(figures) > 1 else ""
    print(f"{options.peer}: {instructions} instructions per {options.work} request{spread}")
    return instructions


def count_in_one_process(options):
    with tempfile.TemporaryDirectory(prefix="moonloop-callgrind-") as tmp:
        prefix = [*VALGRIND, f"--callgrind-out-file={tmp}/callgrind.%p"]
        directory = Path(tmp)
        with Subject(options, tmp, prefix, start_seconds=120) as subject:
            ask_times(subject, WARM_UP)
            first = count_stretch(subject, directory, options.requests)
            second = count_stretch(subject, directory, 2 * options.requests)
    if first == 0:
        raise ServerError("callgrind left no files: does the server accept connections by accept4?")
    return round((second - first) / options.requests)


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
