#!/usr/bin/env python3
"""N-gram losses: with and without rows of n-grams, by steps and by the n-gram count threshold.

    cargo build --release
    python bench/ngrams.py text.txt --steps 255 510 -- --valid valid.txt --tokenizer split

Arguments after -- are passed to `crystalline train`. Each number of steps is a separate run with its
own schedule. Losses do not depend on the load of the machine. The mean over the seeds is printed:
held-out loss over the whole text, and in brackets the training loss of the last tenth of the steps,
which is lower than the held-out loss where the model memorises the text.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from program import OURS


def losses(program, text, flags):
    """Held-out loss at the end of a run, and the mean loss of its last steps."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [program, "train", str(text), "--out", str(run), *flags]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode != 0:
            sys.exit("the training failed")

        def rows(name):
            return [json.loads(line) for line in (run / name).read_text().splitlines()]

        steps = [row["train_loss"] for row in rows("metrics.jsonl")]
        last = steps[-max(len(steps) // 10, 1) :]
        return rows("evals.jsonl")[-1]["val_loss"], statistics.mean(last)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--steps", type=int, nargs="+", default=[255])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--min-counts", type=int, nargs="+", default=[0, 8, 1],
                        help="how often an n-gram must be seen; 0: no n-grams")  # fmt: skip
    parser.add_argument("--ours", default=OURS, help="our program (default: %(default)s)")
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options, of_train = parser.parse_args(sys.argv[1:split]), sys.argv[split + 1 :]
    kinds = options.min_counts
    names = [f"seen {kind} times" if kind else "without" for kind in kinds]
    print(f"| steps | {' | '.join(names)} |")
    print(f"| ---: |{' ---: |' * len(kinds)}", flush=True)
    for steps in options.steps:
        cells = []
        for kind in kinds:
            ngrams = ["--set", f"vocab.ngram_min_count={kind}"] if kind else []
            found = []
            for seed in options.seeds:
                flags = ["--steps", str(steps), "--seed", str(seed), *ngrams, *of_train]
                found.append(losses(options.ours, options.text, flags))
                print(steps, names[len(cells)], seed, *found[-1], file=sys.stderr, flush=True)
            held_out, last = (statistics.mean(column) for column in zip(*found))
            cells.append(f"{held_out:.3f} ({last:.3f})")
        print(f"| {steps} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
