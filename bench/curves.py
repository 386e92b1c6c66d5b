#!/usr/bin/env python3
"""Loss curves: held-out loss against training time, ours and PyTorch's, as SVG and Markdown table.

    crystalline train ... --out runs/chars
    python bench/torch_time_to_loss.py runs/chars > chars.jsonl
    python bench/curves.py --run runs/chars --torch chars.jsonl --out docs/chars

Our losses are the rows of the run's evals.jsonl. Time is training time on both sides; --before adds
our time before the first step, such as finding classes. With several runs the others are compared
with the first. Writes OUT.svg and OUT.md; the table gives the share of each side's time in which the
first run reached that side's last loss (linear between evaluations).
"""

import argparse
import json
import math
import sys
import tomllib
from html import escape
from pathlib import Path


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, nargs="+", required=True, help="our runs' folders")
    parser.add_argument("--torch", type=Path, nargs="+", default=[], help="JSON lines")
    parser.add_argument("--before", type=float, nargs="+", default=[], help="seconds, for each run")
    parser.add_argument("--out", type=Path, required=True, help="path without .svg and .md")
    parser.add_argument("--title", default="Held-out loss")
    return parser.parse_args()


def our_points(run, before=0.0):
    """The name of the side, and (seconds, tokens, loss) of each evaluation; of two at one step the
    last, over all text."""

    def rows(name):
        return map(json.loads, (run / name).read_text().splitlines())

    tokens = {row["step"]: row["tokens"] for row in rows("metrics.jsonl")}
    evals = {row["step"]: (row["elapsed_s"], row["val_loss"]) for row in rows("evals.jsonl")}
    config = tomllib.loads((run / "config.toml").read_text())
    head, planned = config.get("vocab", {}).get("head", "full"), config["train"]["n_steps"]
    name = f"Crystalline, {head}, {planned:,} steps"
    return name, [(before + seconds, tokens[step], loss) for step, (seconds, loss) in evals.items()]


def torch_points(path):
    """The name of the side, and its points."""
    settings, *rows = map(json.loads, path.read_text().splitlines())
    head = settings.get("head", "full")
    name = f"PyTorch, {head}, {settings['mode']} {settings['precision']}, lr {settings['lr']:g}"
    return name, [(r["seconds"], r["tokens"], r["val_loss"]) for r in rows]


def seconds_to(points, loss):
    """When `points` first reach `loss`, or None if they never do."""
    before = None
    for seconds, _, at in points:
        if at <= loss:
            if before is None:
                return seconds
            share = (before[1] - loss) / (before[1] - at)
            return before[0] + share * (seconds - before[0])
        before = (seconds, at)
    return None


def table(sides, title):
    ours, *theirs = sides.items()
    lines = [
        f"# {title}",
        "",
        "| | seconds | tokens | loss, nats | perplexity | the first got there in |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, points in [ours, *theirs]:
        seconds, tokens, loss = points[-1]
        reached = seconds_to(ours[1], loss)
        note = ""
        if name != ours[0]:
            share = reached and f"{reached:.0f} s, {100 * reached / seconds:.0f} % of its time"
            note = share or "not reached"
        numbers = [f"{seconds:.0f}", f"{tokens:,}", f"{loss:.4f}", f"{math.exp(loss):.2f}"]
        lines.append(f"| {' | '.join([name, *numbers, note])} |")
    lines += ["", "| seconds | " + " | ".join(sides) + " |", "| ---: |" + " ---: |" * len(sides)]
    longest = max(sides.values(), key=lambda points: points[-1][0])
    for seconds, _, _ in longest:
        at = [loss_at(points, seconds) for points in sides.values()]
        cells = [f"{loss:.4f}" if loss is not None else "" for loss in at]
        lines.append(f"| {seconds:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def loss_at(points, seconds):
    """The loss at a time, linear between evaluations; None outside of them."""
    for (before, _, high), (after, _, low) in zip(points, points[1:]):
        if before <= seconds <= after:
            return high + (low - high) * (seconds - before) / max(after - before, 1e-9)
    return points[-1][2] if points[-1][0] == seconds else None


WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 400, 60, 45, 35
COLOURS = ["#c0392b", "#2c6fbb", "#27ae60", "#8e44ad", "#d68910", "#7f8c8d"]


def ticks(low, high):
    """About five round numbers between two."""
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step *= next(k for k in (1, 2, 5, 10) if (high - low) / (k * step) <= 6)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def svg(sides, title):
    """The picture. The steep beginning is cut off, so that the rest can be told apart."""
    longest = max(p[0] for points in sides.values() for p in points)
    lowest = min(p[2] for points in sides.values() for p in points)
    highest = max(points[len(points) // 8][2] for points in sides.values())
    margin = 0.05 * (highest - lowest) or 0.1
    low, high = lowest - margin, highest + margin
    x = lambda seconds: LEFT + (WIDTH - LEFT - 15) * seconds / longest
    y = lambda loss: HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (loss - low) / (high - low)

    def text(at_x, at_y, words, more=""):
        return f'<text x="{at_x:.1f}" y="{at_y:.1f}" {more}>{escape(words)}</text>'

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
             ' font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
             '<clipPath id="frame">'
             f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT - BOTTOM - TOP}"/>'
             "</clipPath>"]  # fmt: skip
    for loss in ticks(low, high):
        parts.append(f'<path d="M{LEFT} {y(loss):.1f}H{WIDTH - 15}" stroke="#ddd"/>')
        parts.append(text(LEFT - 6, y(loss) + 4, f"{loss:g}", 'text-anchor="end"'))
    for seconds in ticks(0, longest):
        parts.append(f'<path d="M{x(seconds):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        parts.append(text(x(seconds), HEIGHT - BOTTOM + 16, f"{seconds:g}", 'text-anchor="middle"'))
    parts.append(text(LEFT, 20, f"{title}: nats per token", 'font-size="14"'))
    middle = (LEFT + WIDTH) / 2
    parts.append(text(middle, HEIGHT - 8, "seconds of training", 'text-anchor="middle"'))
    for i, (name, points) in enumerate(sides.items()):
        colour = COLOURS[i % len(COLOURS)]
        line = " ".join(f"{x(p[0]):.1f},{y(p[2]):.1f}" for p in points)
        parts.append(f'<polyline points="{line}" clip-path="url(#frame)" fill="none"'
                     f' stroke="{colour}" stroke-width="2"/>')  # fmt: skip
        more = f'fill="{colour}" text-anchor="end"'
        parts.append(text(WIDTH - 25, TOP + 20 + 18 * i, name, more))
    return "\n".join([*parts, "</svg>", ""])


def main():
    options = parse()
    try:
        before = options.before + [0.0] * len(options.run)
        sides = dict(map(our_points, options.run, before)) | dict(map(torch_points, options.torch))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"cannot read the curves: {error!r}")
    empty = [name for name, points in sides.items() if not points]
    if empty:
        sys.exit(f"no evaluation of {', '.join(empty)}")
    text = table(sides, options.title)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".md").write_text(text)
    options.out.with_suffix(".svg").write_text(svg(sides, options.title))
    print(text)


if __name__ == "__main__":
    main()
