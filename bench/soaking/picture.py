"""Memory over time, as an SVG and as a line of text."""

from xml.sax.saxutils import escape

WIDTH, HEIGHT = 1200, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 30, 60, 40
MOST_MARKS = 8  # of an axis
COLOURS = {"lasting": "#1f77b4", "replaced": "#d62728", "upgraded": "#2ca02c"}
BARS = "▁▂▃▄▅▆▇█"


def sparkline(values):
    low, high = min(values), max(values)
    return "".join(BARS[int((value - low) / (high - low or 1) * (len(BARS) - 1))] for value in values)


class Scale:
    """From moments and bytes to places in the picture."""

    def __init__(self, run):
        points = [point for samples in run.samples.values() for point in samples]
        self.begin = run.begin
        self.seconds = max((at for at, _ in points), default=run.begin + 1) - run.begin
        self.bytes = max((memory for _, memory in points), default=1) * 1.05

    def x(self, at):
        return LEFT + (at - self.begin) / self.seconds * (WIDTH - LEFT - RIGHT)

    def y(self, memory):
        return HEIGHT - BOTTOM - memory / self.bytes * (HEIGHT - TOP - BOTTOM)


def marks(most, steps):
    """From 0 to `most`, as far apart as the first of the steps that makes few enough of them."""
    step = next((step for step in steps if most / step <= MOST_MARKS), steps[-1])
    return [step * index for index in range(int(most / step) + 1)]


def grid(scale):
    for megabytes in marks(scale.bytes / 1e6, [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]):
        y = scale.y(megabytes * 1e6)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{megabytes} MB</text>'
    for minutes in marks(scale.seconds / 60 * 1.01, [0.1, 0.5, 1, 2, 5, 10, 30, 60]):
        yield (f'<text x="{scale.x(scale.begin + minutes * 60):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
               f"{minutes:g} min</text>")


def curve(run, scale, index, name):
    colour = COLOURS[name]
    points = " ".join(f"{scale.x(at):.1f},{scale.y(memory):.1f}" for at, memory in run.samples[name])
    yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="0.6" opacity="0.6"/>'
    for rest in run.rests[name]:
        x, in_use = scale.x(rest.at), scale.y(sum(rest.live.values()))
        yield f'<circle cx="{x:.1f}" cy="{scale.y(rest.memory):.1f}" r="2.5" fill="{colour}"/>'
        yield f'<circle cx="{x:.1f}" cy="{in_use:.1f}" r="2.5" fill="white" stroke="{colour}"/>'
    y = HEIGHT - 14 + 4 * index - 4
    for at, upset in run.upsets[name].done:
        yield f'<rect x="{scale.x(at):.1f}" y="{y}" width="1" height="3" fill="{colour}"><title>{upset}</title></rect>'
    yield f'<text x="{LEFT + 130 * index}" y="44" fill="{colour}">● {name}</text>'


def draw(run, verdict, path):
    """Lines are samples under load, dots the moments at rest, rings what is in use then, marks below what happened to the
    servers."""
    scale = Scale(run)
    title = f"bench/soak: {'good' if verdict.is_good else 'FAILED'}, {run.options.rate:g} requests/s for {scale.seconds / 60:.0f} min"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{escape(title)}</text>',
        f'<text x="{WIDTH - RIGHT}" y="44" text-anchor="end">lines: memory under load; ●: at rest; ○: of that in use;'
        " below: upsets</text>",
        *grid(scale),
    ]
    for index, name in enumerate(run.sites):
        parts += curve(run, scale, index, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts) + "\n</svg>\n")
