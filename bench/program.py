"""Processes of a comparison: each side runs in its own, and several sides are interleaved."""

import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS = "target/release/crystalline"


def add_options(parser):
    """Options that every comparison has."""
    parser.add_argument("--ours", default=OURS, help="our program (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--record", type=Path, help="folder of the record; by default bench/record/"
                        " and the processor's name")  # fmt: skip


MODES = ["eager f32", "compile f32", "eager bf16", "compile bf16"]


def add_training_options(parser):
    """Options of the comparisons of whole training steps with PyTorch."""
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="PyTorch's")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of a run")
    parser.add_argument("--budget", type=float, default=20, help="timed seconds of a PyTorch run")
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch")
    add_options(parser)


def torch_bench(options, mode, head="full"):
    """The command of PyTorch's training steps in one of MODES."""
    mode, precision = mode.split()
    flags = ["--shape", options.shape, "--mode", mode, "--precision", precision, "--head", head]
    flags += ["--steps", str(options.steps), "--threads", str(options.threads)]
    script = str(Path(__file__).with_name("torch_train.py"))
    return [options.python, script, *flags, "--budget", str(options.budget)]


def our_bench(options, shape, precision, *flags):
    """The command of `crystalline bench`; a figure is the last line that it prints."""
    flags = ["--threads", str(options.threads), *flags]
    return [options.ours, "bench", "--shape", shape, "--precision", precision, *flags, "--json"]


def run(command):
    """The JSON object on the last line that a command prints, and its process's peak memory."""
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    except OSError as error:
        sys.exit(f"{command[0]}: {error}. Build with: cargo build --release")
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{shlex.join(command)} failed with exit code {process.returncode}")
    report = json.loads(output.strip().splitlines()[-1])
    report["process_peak_rss_mib"] = usage.ru_maxrss // 1024
    return report


# Above this, other work shares the cores: PyTorch's barriers then suffer more than ours do.
BUSY_LOAD = 0.5


def busy_cores():
    """Cores that worked, for anybody, during two seconds in which we slept.

    The load average would still show the run that ended a minute ago.
    """

    def times():
        numbers = [int(x) for x in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        return sum(numbers) - numbers[3] - numbers[4], sum(numbers)

    busy_before, all_before = times()
    time.sleep(2)
    busy, everything = times()
    return (busy - busy_before) / max(everything - all_before, 1) * os.cpu_count()


def load_before():
    """Busy cores before anything is measured; says so if there are too many."""
    load = round(busy_cores(), 2)
    if load > BUSY_LOAD:
        warning = f"load is {load}: other work runs here, and the ratios will be wrong"
        print(warning, file=sys.stderr)
    return load


def interleave(sides, rounds):
    """Calls each side once a round and returns {side: [figure of each round]}.

    `sides` is {name: function that measures once and returns tokens/s}. Every second round runs in
    reverse order (ABBA), so that a machine whose speed drifts treats all alike.
    """
    figures = {name: [] for name in sides}
    for i in range(rounds):
        for name in list(sides)[:: 1 if i % 2 == 0 else -1]:
            figures[name].append(sides[name]())
            print(f"round {i + 1}: {name}: {figures[name][-1]:.0f} tokens/s", file=sys.stderr)
    return figures


def interleave_commands(commands, options, load):
    """Runs {side: command} in turn; returns the figures of each side, its peak memory in MiB, and
    what the record notes of the sitting."""
    memory, programs = {}, set()

    def measure(name):
        report = run(commands[name])
        memory[name] = max(memory.get(name, 0), report["process_peak_rss_mib"])
        programs.add(report.get("program", ""))
        return report["tokens_per_s"]

    sides = {name: lambda name=name: measure(name) for name in commands}
    figures = interleave(sides, options.rounds)
    note = dict(versions=max(programs), load=load, threads=options.threads, steps=options.steps)
    return figures, memory, note


def summary(ours, theirs):
    """Our figures against those of the same rounds of one opponent."""
    ratios = [a / b for a, b in zip(ours, theirs)]
    return dict(
        ratio=round(statistics.median(ratios), 3),
        ratio_lowest=round(min(ratios), 3),
        ratio_highest=round(max(ratios), 3),
    )


def fastest(figures):
    """The name of the side with the highest median, and None if there is no side."""
    return max(figures, key=lambda name: statistics.median(figures[name]), default=None)
