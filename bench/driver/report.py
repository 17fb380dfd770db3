"""Turns rounds into rows, rows into tables, and says which figures were reached."""

import datetime
import os
import platform
import subprocess
from statistics import median

from driver.peers import ALL_PEERS, ROOT

HEADS = [
    "server",
    "requests/s",
    "CPU µs/request",
    "spread",
    "p50 ms",
    "p99 ms",
    "errors",
    "requests/s ÷ moonloop",
    "CPU ÷ moonloop",
    "wrk busy",
]
WRK_LIMIT = 0.95  # share of its core from which wrk is what limits requests/s
METRIC_TITLES = {"cpu_us": ("CPU µs/request", "≤"), "rps": ("requests/s", "≥")}


def summarise(rounds):
    """The median of each figure over the rounds; `spread` is (max - min) / median of the CPU time."""
    row = {key: median(figures[key] for figures in rounds) for key in rounds[0]}
    cpu = [figures["cpu_us"] for figures in rounds]
    row["spread"] = (max(cpu) - min(cpu)) / row["cpu_us"]
    return row


def format_table(heads, rows):
    widths = [max(len(line[i]) for line in [heads, *rows]) for i in range(len(heads))]

    def line(cells):
        padded = [cells[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(cells[1:], widths[1:])]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 1) + (":" if i else "-") for i, w in enumerate(widths)) + "|"
    return "\n".join([line(heads), rule, *(line(row) for row in rows)])


def format_row(title, row, base):
    if "failure" in row:
        return [title, "FAILED"] + [""] * 4 + ["yes"] + [""] * 3
    ratios = ["", ""]
    if base:
        ratios = [f"{row['rps'] / base['rps']:.2f}", f"{row['cpu_us'] / base['cpu_us']:.2f}"]
    return [
        title,
        f"{row['rps']:,.0f}",
        f"{row['cpu_us']:.2f}",
        f"{row['spread']:.0%}",
        f"{row['p50_us'] / 1000:.2f}",
        f"{row['p99_us'] / 1000:.2f}",
        "0",
        *ratios,
        f"{row['busy']:.0%}",
    ]


def format_work(work, rows, notes):
    """One section: the table of a work, and a line for each peer that has no figures."""
    base = rows.get("moonloop")
    base = None if base is None or "failure" in base else base
    lines = [format_row(peer.title, rows[peer.name], base) for peer in ALL_PEERS if peer.name in rows]
    parts = [f"## {work.title}", ""]
    if lines:
        parts += [format_table(HEADS, lines), ""]
    for peer in ALL_PEERS:
        if "failure" in rows.get(peer.name, {}):
            parts.append(f"- **{peer.title} FAILED**: {rows[peer.name]['failure']}")
        elif peer.name in notes:
            parts.append(f"- {peer.title} skipped: {notes[peer.name]}")
    return "\n".join(parts).rstrip() + "\n"


def check_target(work, target, rows):
    """A row of the table of targets, or None when one of its sides was not measured."""
    own, other = rows.get("moonloop", {}), rows.get(target.peer, {})
    if target.metric not in own or (target.peer and target.metric not in other):
        return None
    reference = other[target.metric] if target.peer else target.value
    ratio = own[target.metric] / reference
    is_reached = ratio <= target.factor if target.metric == "cpu_us" else ratio >= target.factor
    verdict = "yes" if is_reached else "NO"
    if target.metric == "rps" and target.peer and not is_reached and own["busy"] > WRK_LIMIT:
        # wrk could not ask for more, so requests/s says nothing; what a core could do, does.
        capacity = other["cpu_us"] / own["cpu_us"]
        verdict += f", but wrk was at its limit: {capacity:.2f} by CPU"
    title, sense = METRIC_TITLES[target.metric]
    named = {peer.name: peer.title for peer in ALL_PEERS}.get(target.peer, target.reference)
    return [work.name, title, f"{sense} {target.factor} × {named}", f"{ratio:.2f}", verdict]


def format_targets(results):
    """`results` is a list of (work, rows)."""
    checks = [check_target(work, target, rows) for work, rows in results for target in work.targets]
    checks = [check for check in checks if check]
    if not checks:
        return "Targets: not measured, they need moonloop and the peer they name in one run.\n"
    return "## To reach\n\n" + format_table(["work", "figure", "to reach", "got", "reached"], checks) + "\n"


def cpu_model():
    with open("/proc/cpuinfo") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def commit():
    def git(*words):
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True).stdout.strip()

    # What this run writes itself is not a change of what it measures.
    sources = [".", ":!bench/RESULTS.md", ":!bench/micro/*_instructions.txt"]
    is_changed = git("status", "--porcelain", "--untracked-files=no", "--", *sources)
    changed = " with uncommitted changes" if is_changed else ""
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + changed


def package_versions(names):
    packages = ["wrk"] + [peer.package for peer in ALL_PEERS if peer.name in names and peer.package]
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}, ", *packages]
    try:
        return subprocess.run(query, capture_output=True, text=True).stdout.rstrip(", ")
    except OSError:
        return "unknown"


def format_head(names, seconds, rounds, moonloop):
    now = datetime.datetime.now(datetime.timezone.utc)
    return "\n".join(
        [
            "# Load: moonloop and its peers, in one run",
            "",
            f"- machine: {cpu_model()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
            f"- date: {now:%Y-%m-%d %H:%M} UTC",
            f"- commit: {commit()}",
            f"- moonloop: {moonloop}",
            f"- packages: {package_versions(names)}",
            f"- rounds: {rounds} of {seconds} s each, servers in turn, median of the rounds; one server worker on",
            "  the first core, wrk on the second. CPU is user and system time of all processes of the server over",
            "  the round, divided by the requests answered in it; `spread` is its (max - min) / median.",
            "  With 16 pipelined, latency is that of a batch. Rounds of `sleep` are longer.",
            "  Where wrk is busy at about 100 %, requests/s is wrk's limit and CPU is the figure to compare.",
            "",
        ]
    )
