#!/usr/bin/env python3
"""Token order comparison: the cost of each order of token ids, on vocabularies of a text.

    cargo build --release
    python bench/orders.py text.txt

A round is one process of `crystalline bench --orders`, in which the orders take turns; its figures
are medians. Each order is compared with the random one of the same process.
"""

import argparse
from pathlib import Path

from program import add_options, load_before, run
from record import entry, notes, processor, write

WORK = {"gather": "gather", "scatter_add": "scatter-add", "update": "AdamW of touched rows"}
CONTROL = "random"


def figures(reports, vocabulary):
    """{(C, work, caches, order): tokens/s of each process} for one of the vocabularies."""
    found = {}
    for report in reports:
        for width in report["vocabularies"][vocabulary]["widths"]:
            for cost in width["orders"]:
                for work, caches in ((w, c) for w in WORK for c in ("cold", "warm")):
                    side = f"{width['model_dim']}, {WORK[work]}, {caches}: {cost['order']}"
                    found.setdefault(side, []).append(1e9 / cost[work][caches])
    return found


def markdown(title, record):
    """A line for each kind of work, a column for each order."""
    sides = next(iter(record.values()))["sides"]
    orders = list(dict.fromkeys(side.split(": ")[1] for side in sides))
    lines = [f"# {title}", "", f"{processor()}. Nanoseconds per token of the batch: median of the"
             " rounds; in brackets the tokens/s divided by those of the random order.", ""]  # fmt: skip
    lines += [f"| | C, work, caches | {' | '.join(orders)} |"]
    lines += [f"| --- | --- |{' ---: |' * len(orders)}"]
    for key, one in record.items():
        for work in dict.fromkeys(side.split(": ")[0] for side in one["sides"]):
            cells = []
            for side in (f"{work}: {order}" for order in orders):
                ratio = one["against"].get(side, {}).get("ratio")
                ns = f"{1e9 / one['sides'][side]['tokens_per_s']:.1f}"
                cells.append(f"{ns} ({ratio:.2f})" if ratio else ns)
            lines.append(f"| {key} | {work} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *notes(record), ""])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--steps", type=int, default=41, help="rounds inside of a process")
    add_options(parser)
    options, load = parser.parse_args(), load_before()
    command = [options.ours, "bench", "--orders", str(options.text.resolve()), "--json"]
    command += ["--steps", str(options.steps), "--threads", str(options.threads)]
    reports = [run(command) for _ in range(options.rounds)]
    # One thread works; the others only make the vocabulary.
    note = dict(versions=f"{options.text.name}, {reports[0]['isa']}", load=load, threads=1)
    for i, vocabulary in enumerate(reports[0]["vocabularies"]):
        found = figures(reports, i)
        control = {side: [f"{side.split(': ')[0]}: {CONTROL}"] for side in found}
        ours = {side: rival for side, rival in control.items() if side not in rival}
        key = f"V={vocabulary['vocab_size']}"
        title = "Rows of a table under orders of token ids"
        write(options.record, "orders", title, key, entry(found, ours, note), markdown)


if __name__ == "__main__":
    main()
