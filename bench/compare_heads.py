#!/usr/bin/env python3
"""What output layers cost: training with our factored one, our full one, and PyTorch's two.

    cargo build --release
    python bench/compare_heads.py --shape word

Whole training steps, the sides in turn. PyTorch's sides are the full softmax and
AdaptiveLogSoftmaxWithLoss, each in every mode given. The record has one entry for each opponent of
our factored layer, all from the same sitting.
"""

import argparse
import sys
from pathlib import Path

from program import add_options, interleave, load_before, our_bench, run
from record import entry, write
from shapes import SHAPES

MODES = ["eager f32", "compile f32", "eager bf16", "compile bf16"]


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="word")
    parser.add_argument("--classes", type=int, default=182, help="of our factored layer")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="bf16", help="ours")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="PyTorch's")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of a run")
    parser.add_argument("--budget", type=float, default=20, help="timed seconds of a PyTorch run")
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch")
    add_options(parser)
    return parser.parse_args()


def main():
    options, load = parse(), load_before()
    steps = ["--steps", str(options.steps)]
    ours = lambda *flags: our_bench(options, options.shape, options.precision, *steps, *flags)
    commands = {"ours factor": ours("--classes", str(options.classes)), "ours full": ours()}
    script = str(Path(__file__).with_name("torch_train.py"))
    for head in ("full", "adaptive"):
        for name in options.modes:
            mode, precision = name.split()
            flags = ["--shape", options.shape, "--mode", mode, "--precision", precision, *steps]
            flags += ["--threads", str(options.threads), "--budget", str(options.budget)]
            flags += ["--head", head]
            commands[f"torch {head} {name}"] = [options.python, script, *flags]

    memory, programs = {}, set()

    def measure(name):
        report = run(commands[name])
        memory[name] = max(memory.get(name, 0), report["process_peak_rss_mib"])
        programs.add(report.get("program", ""))
        return report["tokens_per_s"]

    figures = interleave({name: lambda name=name: measure(name) for name in commands},
                         options.rounds)  # fmt: skip
    note = dict(versions=max(programs), load=load, threads=options.threads, steps=options.steps)
    title = "The factored output layer: whole training steps"
    for opponent in ("torch full", "torch adaptive", "ours full"):
        theirs = [name for name in figures if name.startswith(opponent)]
        some = {name: figures[name] for name in ["ours factor", *theirs]}
        value = entry(some, {"ours factor": theirs}, note, memory)
        write(options.record, "heads", title, f"{options.shape} against {opponent}", value)


if __name__ == "__main__":
    main()
