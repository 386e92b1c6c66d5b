#!/usr/bin/env python3
"""Output layer comparison: training with our factored and full layers, and with PyTorch's two.

    cargo build --release
    python bench/compare_heads.py --shape word

Whole training steps, the sides in turn. PyTorch's sides are the full softmax and
AdaptiveLogSoftmaxWithLoss, each in every mode given. The record has one entry for each opponent of
our factored layer, all from the same session.
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
    parser.add_argument("--shape", choices=SHAPES, default="word")
    parser.add_argument("--classes", type=int, default=182, help="of our factored layer")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="bf16", help="ours")
    add_training_options(parser)
    return parser.parse_args()


def main():
    options, load = parse(), load_before()
    steps = ["--steps", str(options.steps)]
    ours = lambda *flags: our_bench(options, options.shape, options.precision, *steps, *flags)
    commands = {"ours factor": ours("--classes", str(options.classes)), "ours full": ours()}
    for head in ("full", "adaptive"):
        for mode in options.modes:
            commands[f"torch {head} {mode}"] = torch_bench(options, mode, head)
    figures, memory, note = interleave_commands(commands, options, load)
    title = "The factored output layer: whole training steps"
    for opponent in ("torch full", "torch adaptive", "ours full"):
        theirs = [name for name in figures if name.startswith(opponent)]
        some = {name: figures[name] for name in ["ours factor", *theirs]}
        value = entry(some, {"ours factor": theirs}, note, memory)
        write(options.record, "heads", title, f"{options.shape} against {opponent}", value)


if __name__ == "__main__":
    main()
