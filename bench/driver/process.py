"""A server process pinned to one core: started, measured and ended by its process id."""

import os
import signal
import subprocess
import time


class ServerError(Exception):
    """The server did not start or did not answer as it must. The text says why."""


class StartError(ServerError):
    """It ended, or kept silent, before its first answer."""


def process_tree(pid):
    """`pid` and all that descend from it, while they live."""
    pids = [pid]
    for parent in pids:
        try:
            for thread in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{thread}/children") as children:
                    pids += [int(child) for child in children.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return pids


def cpu_ns(pid):
    """User and system time of all threads of a process, also of those that have ended, in ns.

    The clock id is the one that clock_getcpuclockid(3) makes; the kernel counts it to the
    nanosecond, where /proc/PID/stat has ticks of 10 ms.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Server:
    """`argv` running on `core`, its output in `log_path`, `environment` added to its own."""

    def __init__(self, argv, core, log_path, environment=None):
        self.log_path = log_path
        with open(log_path, "wb") as log:
            self.process = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
                start_new_session=True,  # Ctrl-C reaches the driver alone, which then stops it
            )

    @property
    def pid(self):
        return self.process.pid

    def wait_until(self, is_ready, seconds=15):
        """Calls `is_ready` until it returns something true, and returns that.

        Raises StartError when the process ends before, or after `seconds`. A connection error in
        `is_ready` means not yet.
        """
        deadline = time.monotonic() + seconds
        reason = "no answer"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise StartError(f"ended with status {self.process.returncode}: {self.log_tail()}")
            try:
                answer = is_ready()
                if answer:
                    return answer
            except OSError as error:
                reason = str(error)
            time.sleep(0.02)
        raise StartError(f"not ready after {seconds} s ({reason}): {self.log_tail()}")

    def cpu(self):
        """CPU time of each process of the server: {pid: ns}. Raises ServerError when it has ended."""
        try:
            return {pid: cpu_ns(pid) for pid in process_tree(self.pid)}
        except OSError:
            raise ServerError(f"a process of the server ended: {self.log_tail()}") from None

    def log_tail(self):
        with open(self.log_path, errors="replace") as log:
            lines = log.read().strip().splitlines()
        return " | ".join(lines[-3:]) or "(it printed nothing)"

    def stop(self, seconds=5):
        """Ends it: TERM, then KILL for whatever of its processes is left after `seconds`."""
        if self.process.poll() is not None:
            return
        pids = process_tree(self.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()
