"""What the run has shown, as a text and as an exit status."""

from collections import Counter

from soaking.load import CLOSED_IDLE, HELD_UP, LOST_WITH_WORKER
from soaking.picture import sparkline
from soaking.rest import Growth, after_equal_work, grown_counts

WARM_PART = 0.25
LEAST_RESTS = 4
NOT_ACTS = ("connections", "failures", CLOSED_IDLE, HELD_UP, LOST_WITH_WORKER)


class Verdict:
    def __init__(self):
        self.lines = []
        self.is_good = True

    def say(self, text):
        self.lines.append(text)

    def fail(self, text):
        self.lines.append("FAILED: " + text)
        self.is_good = False

    @property
    def text(self):
        return "\n".join(self.lines)


def split(rests):
    """Those of the warm-up, its last moment included, and those from there on."""
    warm = max(1, round(len(rests) * WARM_PART))
    return rests[:warm], rests[warm - 1 :]


def judge(run):
    verdict = Verdict()
    for problem in run.problems:
        verdict.fail(problem)
    for name in run.sites:
        judge_site(run, name, verdict)
    return verdict


def judge_site(run, name, verdict):
    load, upsets = run.loads[name], run.upsets[name]
    done = Counter(upset for _, upset in upsets.done)
    acts = sum(count for act, count in load.counts.items() if act not in NOT_ACTS)
    verdict.say(f"{name}: {acts} acts, {load.answers} answers, {load.counts['connections']} connections;"
                f" {load.counts[LOST_WITH_WORKER]} lost with a killed worker, {load.counts[CLOSED_IDLE]} closed while"
                f" quiet and asked again, {load.counts[HELD_UP]} by the clock and not"
                f" judged, {load.late} not asked in time (this program was held up"
                f" for {load.held_up:.1f} s at most)")
    verdict.say(f"{name}: upsets: " + ", ".join(f"{count} {upset}" for upset, count in sorted(done.items())))
    for failure in load.failures:
        verdict.fail(failure)
    if load.counts["failures"] > len(load.failures):
        verdict.fail(f"{name}: {load.counts['failures'] - len(load.failures)} failures more")
    rests = run.rests[name]
    if len(rests) < LEAST_RESTS:
        verdict.fail(f"{name}: only {len(rests)} moments at rest")
        return
    judge_memory(name, rests, run.options.growth / 100, verdict)


def measures(rests):
    """What may not grow: (what, values)."""
    return [
        ("memory at rest", [each.memory for each in rests]),
        ("in use", [sum(each.live.values()) for each in rests]),
        ("in use, Lua", [each.live["lua"] for each in rests]),
        ("in use, malloc", [each.live["heap"] for each in rests]),
    ]


def judge_memory(name, rests, limit, verdict):
    warm, rest = split(rests)
    equal = after_equal_work(rest)
    if len(equal) < LEAST_RESTS:
        equal = rest  # a short run, or one on a machine that was busy with something else
    moments = [each.at for each in equal]
    verdict.say(f"{name}: fitted through {len(equal)} of {len(rest)} moments, with what chance may do to it")
    for what, values in measures(rests):
        growth = Growth(moments, [values[rests.index(each)] for each in equal])
        verdict.say(f"{name}: {what:15} {sparkline(values)}  {values[-len(rest)] / 1e6:.2f} MB after the warm-up,"
                    f" {values[-1] / 1e6:.2f} MB at the end, growth {growth}")
        if growth.exceeds(limit):
            verdict.fail(f"{name}: {what} grew by {growth}, more than {limit * 100:g} %")
    for grown in grown_counts(warm, rests[-1]):
        verdict.fail(f"{name}: more at the end than after the warm-up: {grown}")
