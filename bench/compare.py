#!/usr/bin/env python3
"""Training speed and memory: ours against PyTorch's modes, interleaved on one machine.

    cargo build --release
    python bench/compare.py --shape nano

Every round runs each side once, in a separate process. Medians over the rounds, their range, the
ratio to the fastest opponent round by round, and peak memory go to stdout and into
bench/record/. Our bf16 is compared with the fastest of all PyTorch modes, our f32 with its f32
modes. PyTorch's figure excludes compilation. Quote ratios within one session only, and check the
printed load: under other work the figures are noise.
"""

import argparse

from program import (add_training_options, interleave_commands, load_before, our_bench,
                     torch_bench)  # fmt: skip
from record import entry, write
from shapes import SHAPES


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="nano")
    parser.add_argument("--precision", nargs="+", choices=["f32", "bf16"], default=["bf16", "f32"],
                        help="ours")  # fmt: skip
    add_training_options(parser)
    return parser.parse_args()


def main():
    options, load = parse(), load_before()
    steps = ["--steps", str(options.steps)]
    commands = {
        f"ours {precision}": our_bench(options, options.shape, precision, *steps)
        for precision in options.precision
    }
    for mode in options.modes:
        commands[f"torch {mode}"] = torch_bench(options, mode)
    figures, memory, note = interleave_commands(commands, options, load)
    theirs = [name for name in figures if name.startswith("torch")]
    opponents = {
        "ours bf16": theirs,
        "ours f32": [name for name in theirs if name.endswith("f32")],
    }
    value = entry(figures, opponents, note, memory)
    title = "Whole training steps against PyTorch"
    write(options.record, "training", title, options.shape, value)


if __name__ == "__main__":
    main()
