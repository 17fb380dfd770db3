"""A server's log, read for what nobody expected in it."""

import os
import re

MEANT = re.compile(  # what the apps and the upsets leave in it
    r"this is meant to|meant to be refused|the request took longer than its timeout|interrupted: apps/index|/cut: |/hang: "
    r"|answered \d+ |died: killed by SIGKILL|is refused: the app that changed"
    r"|in a row just after its start"  # it was killed each time
    # of a machine that has much else to do
    r"|the loop stood still for|left behind at the stop|is left out: the run before is still under way"
)
TROUBLE = re.compile(r"^\S+Z (error|warn) |Sanitizer|broken invariant|runtime error")


class Journal:
    """The log at `path`, which may be moved away and opened anew."""

    def __init__(self, path):
        self.path = path
        self.files = []  # opened; one that was moved away stays readable
        self.rests = []  # of each, the beginning of a line that is not whole yet
        self.moved = 0

    def move(self):
        """As a rotation does; the server is then told to open it anew, and `open` is called."""
        self.moved += 1
        os.replace(self.path, f"{self.path}.{self.moved}")

    def open(self):
        self.files.append(open(self.path, "rb"))
        self.rests.append(b"")

    def read(self):
        """Lines since the last call that report trouble which nobody meant to make."""
        found = []
        for index, file in enumerate(self.files):
            *lines, self.rests[index] = (self.rests[index] + file.read()).split(b"\n")
            texts = (line.decode(errors="replace") for line in lines)
            found += [text for text in texts if TROUBLE.search(text) and not MEANT.search(text)]
        return found

    def tail(self, lines=5):
        if not self.path.exists():
            return "(no log)"
        return " | ".join(self.path.read_text(errors="replace").splitlines()[-lines:])

    def close(self):
        for file in self.files:
            file.close()
