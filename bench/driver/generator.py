"""Runs wrk on its core and reads the figures that driver/wrk.lua prints."""

import json
import os
import resource
import subprocess
import time
from pathlib import Path

SCRIPT = Path(__file__).with_name("wrk.lua")


class LoadError(Exception):
    """The load was not answered as it must be. The text says why."""


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_wrk(work, port, core, seconds, request_file, expected_length=None):
    """Loads 127.0.0.1:`port` for `seconds` and returns wrk's figures, see driver/wrk.lua, with
    `busy`: the share of its core that wrk used. Raises LoadError for any error it counted."""
    argv = ["taskset", "--cpu-list", str(core), "wrk", "--latency", "--threads", "1"]
    argv += ["--connections", str(work.connections), "--duration", f"{seconds}s"]
    argv += ["--timeout", "10s", "--script", str(SCRIPT), f"http://127.0.0.1:{port}/"]
    env = {**os.environ, "BENCH_REQUEST": str(request_file), "BENCH_CONNECTIONS": str(work.connections)}
    env.pop("BENCH_LENGTH", None)
    if expected_length is not None:
        env["BENCH_LENGTH"] = str(expected_length)

    before, started = children_seconds(), time.monotonic()
    result = subprocess.run(argv, env=env, capture_output=True, text=True)
    busy = (children_seconds() - before) / (time.monotonic() - started)
    lines = [line for line in result.stdout.splitlines() if line.startswith("BENCH ")]
    if result.returncode != 0 or not lines:
        raise LoadError(f"wrk failed with status {result.returncode}: {result.stderr.strip()}")
    figures = json.loads(lines[0][len("BENCH ") :])
    figures["busy"] = busy
    check(figures)
    return figures


def check(figures):
    for kind in ("connect", "read", "write", "timeout", "status"):
        if figures[kind] > 0:
            raise LoadError(f"{figures[kind]} {kind} errors in {figures['requests']} requests")
    if figures["wrong"] > 0:
        raise LoadError(f"{figures['wrong']} wrong answers, for example {figures['example']}")
    if figures["requests"] == 0:
        raise LoadError("no request was answered")


def check_length(figures, shortest_answer):
    """wrk counts the bytes that it read: fewer than its answers must have means short answers."""
    if figures["bytes"] < figures["requests"] * shortest_answer:
        mean = figures["bytes"] / figures["requests"]
        raise LoadError(f"short answers: {mean:.1f} bytes each, expected {shortest_answer}")
