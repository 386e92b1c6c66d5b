#!/usr/bin/env python3
"""Our training speed and memory against PyTorch's modes, interleaved on one machine.

    cargo build --release
    python bench/compare.py --shape nano

Every round runs each side once, each as a process of its own. Medians of the rounds, their range,
the ratio to the fastest opponent round by round, and peak memory go to stdout and into
bench/record/. Our bf16 is compared with the fastest of all PyTorch modes, our f32 with its f32
modes. Compiling is not in PyTorch's figure. Quote ratios of one sitting only, and look at the load
that is printed: under other work the figures are noise.
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
    parser.add_argument("--shape", choices=SHAPES, default="nano")
    parser.add_argument("--precision", nargs="+", choices=["f32", "bf16"], default=["bf16", "f32"],
                        help="ours")  # fmt: skip
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="PyTorch's")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of a run")
    parser.add_argument("--budget", type=float, default=20, help="timed seconds of a PyTorch run")
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch")
    add_options(parser)
    return parser.parse_args()


def main():
    options, load = parse(), load_before()
    steps = ["--steps", str(options.steps)]
    commands = {
        f"ours {precision}": our_bench(options, options.shape, precision, *steps)
        for precision in options.precision
    }
    script = str(Path(__file__).with_name("torch_train.py"))
    for name in options.modes:
        mode, precision = name.split()
        flags = ["--shape", options.shape, "--mode", mode, "--precision", precision, *steps]
        flags += ["--threads", str(options.threads), "--budget", str(options.budget)]
        commands[f"torch {name}"] = [options.python, script, *flags]

    memory, programs = {}, set()

    def measure(name):
        report = run(commands[name])
        memory[name] = max(memory.get(name, 0), report["process_peak_rss_mib"])
        programs.add(report.get("program", ""))
        return report["tokens_per_s"]

    sides = {name: lambda name=name: measure(name) for name in commands}
    figures = interleave(sides, options.rounds)
    theirs = [name for name in figures if name.startswith("torch")]
    opponents = {
        "ours bf16": theirs,
        "ours f32": [name for name in theirs if name.endswith("f32")],
    }
    note = dict(versions=max(programs), load=load, threads=options.threads, steps=options.steps)
    value = entry(figures, opponents, note, memory)
    title = "Whole training steps against PyTorch"
    write(options.record, "training", title, options.shape, value)


if __name__ == "__main__":
    main()
