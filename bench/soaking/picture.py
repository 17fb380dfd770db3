"""Memory over time, as an SVG and as a line of text."""

from xml.sax.saxutils import escape

WIDTH, HEIGHT = 1200, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 60, 40
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


def grid(scale):
    for part in range(5):
        memory = scale.bytes * part / 4
        y = scale.y(memory)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{memory / 1e6:.0f} MB</text>'
    for part in range(7):
        at = scale.begin + scale.seconds * part / 6
        yield (f'<text x="{scale.x(at):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
               f"{scale.seconds * part / 360:.1f} min</text>")


def curve(run, scale, index, name):
    colour = COLOURS[name]
    points = " ".join(f"{scale.x(at):.1f},{scale.y(memory):.1f}" for at, memory in run.samples[name])
    yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="0.6" opacity="0.6"/>'
    for rest in run.rests[name]:
        yield f'<circle cx="{scale.x(rest.at):.1f}" cy="{scale.y(rest.memory):.1f}" r="2.5" fill="{colour}"/>'
    y = HEIGHT - 14 + 4 * index - 4
    for at, upset in run.upsets[name].done:
        yield f'<rect x="{scale.x(at):.1f}" y="{y}" width="1" height="3" fill="{colour}"><title>{upset}</title></rect>'
    yield f'<text x="{LEFT + 130 * index}" y="44" fill="{colour}">● {name}</text>'


def draw(run, verdict, path):
    """Lines are samples under load, dots the moments at rest, marks below what happened to the servers."""
    scale = Scale(run)
    title = f"bench/soak: {'good' if verdict.is_good else 'FAILED'}, {run.options.rate:g} requests/s for {scale.seconds / 60:.0f} min"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{escape(title)}</text>',
        *grid(scale),
    ]
    for index, name in enumerate(run.sites):
        parts += curve(run, scale, index, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts) + "\n</svg>\n")
