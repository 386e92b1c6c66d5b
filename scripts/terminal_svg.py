#!/usr/bin/env python3
"""Terminal screen as SVG: what a command printed, as a picture for the README.

    crystalline demo </dev/null 2>&1 | scripts/terminal_svg.py --title "crystalline demo" >docs/runs/demo.svg

Text that a carriage return overwrote is omitted, as on a screen. Escape
codes are dropped. `--first N` and `--last N` keep the first and the last lines and mark the gap.
"""
import argparse
import html
import re
import sys

WIDTH, LINE, SIZE, PAD = 8.43, 19, 14, 18


def screen(text):
    """The lines that a screen would show."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = [line.split("\r")[-1].rstrip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def wrapped(lines, columns):
    out = []
    for line in lines:
        while len(line) > columns:
            cut = line.rfind(" ", 0, columns)
            cut = cut if cut > 0 else columns
            out.append(line[:cut])
            line = "  " + line[cut:].lstrip()
        out.append(line)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--title", default="")
    parser.add_argument("--columns", type=int, default=96)
    parser.add_argument("--first", type=int)
    parser.add_argument("--last", type=int)
    args = parser.parse_args()
    lines = wrapped(screen(sys.stdin.read()), args.columns)
    if args.first is not None or args.last is not None:
        first, last = args.first or 0, args.last or 0
        if len(lines) > first + last:
            lines = lines[:first] + ["  ..."] + lines[len(lines) - last :]
    width, height = args.columns * WIDTH + 2 * PAD, (len(lines) + 2) * LINE + 2 * PAD
    print(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}" role="img" aria-label="{html.escape(args.title)}">'
    )
    print(f'<rect width="100%" height="100%" rx="8" fill="#16181d"/>')
    for i, colour in enumerate(["#ff5f57", "#febc2e", "#28c840"]):
        print(f'<circle cx="{PAD + 6 + 20 * i}" cy="{PAD}" r="6" fill="{colour}"/>')
    font = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
    print(f'<g font-family="{font}" font-size="{SIZE}" fill="#d7dae0" xml:space="preserve">')
    print(
        f'<text x="{width / 2:.0f}" y="{PAD + 5}" text-anchor="middle" fill="#8b909a">'
        f"{html.escape(args.title)}</text>"
    )
    for i, line in enumerate(lines):
        y = PAD + (i + 2) * LINE
        colour = ' fill="#7fd1b9"' if line.startswith("$ ") else ""
        print(f'<text x="{PAD}" y="{y}"{colour}>{html.escape(line)}</text>')
    print("</g></svg>")


if __name__ == "__main__":
    main()
