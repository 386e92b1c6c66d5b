"""Benchmark record: bench/record/PROCESSOR/NAME.json, and NAME.md generated from it.

A measurement replaces the one with the same key (such as a shape) and leaves the others unchanged.
"""

import json
import platform
import re
import statistics
import time
from pathlib import Path

from program import BUSY_LOAD, fastest, summary

RECORD = Path(__file__).resolve().parent / "record"


def processor():
    """The processor's name; family and model too, since virtual machines hide the rest."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    field = lambda name: re.search(rf"^{name}\s*:\s*(.+)$", text, re.M)
    found = [field(name) for name in ("model name", "cpu family", "model")]
    if not all(found):
        return platform.machine()
    name, family, model = (match[1].strip() for match in found)
    return f"{name} family {family} model {model}"


def folder(given):
    """The folder of this processor's record, or the one that the user gave."""
    return given or RECORD / re.sub(r"[^a-z0-9]+", "-", processor().lower()).strip("-")


def entry(figures, ours, note, memory=None):
    """What is kept of one sitting: every figure, and each of our sides against its opponent.

    `ours` maps each of our sides to the opponents that it may be compared with; the fastest is.
    """
    sides = {
        name: dict(
            tokens_per_s=round(statistics.median(values), 1),
            lowest=round(min(values), 1),
            highest=round(max(values), 1),
            rounds=[round(value, 1) for value in values],
            **({"peak_rss_mib": memory[name]} if memory else {}),
        )
        for name, values in figures.items()
    }
    against = {}
    for name, opponents in ours.items():
        opponent = fastest({side: figures[side] for side in opponents})
        if opponent and name in figures:
            against[name] = dict(opponent=opponent, **summary(figures[name], figures[opponent]))
            if memory:
                ratio = memory[name] / memory[opponent]
                against[name]["memory_ratio"] = round(ratio, 3)
    return dict(date=time.strftime("%Y-%m-%d"), **note, sides=sides, against=against)


def markdown(title, record):
    has_memory = any("peak_rss_mib" in s for e in record.values() for s in e["sides"].values())
    head = ["", "", "tokens/s", "range", "ours / it", "opponent"]
    rule = ["---", "---", "---:", "---:", "---:", "---"]
    if has_memory:
        head[5:5], rule[5:5] = ["MiB", "memory: ours / its"], ["---:", "---:"]
    lines = [f"# {title}", "", f"{processor()}. Tokens/s: median of the rounds, and their range."]
    lines += ["", f"| {' | '.join(head)} |", f"| {' | '.join(rule)} |"]
    for key, one in record.items():
        for name, side in one["sides"].items():
            against = one["against"].get(name, {})
            ratio = memory = ""
            if against:
                spread = f"{against['ratio_lowest']:.2f} to {against['ratio_highest']:.2f}"
                ratio = f"**{against['ratio']:.2f}** ({spread})"
                memory = f"{against['memory_ratio']:.2f}" if "memory_ratio" in against else ""
            cells = [key, name, f"{side['tokens_per_s']:,.0f}",
                     f"{side['lowest']:,.0f} to {side['highest']:,.0f}", ratio]  # fmt: skip
            cells += [f"{side['peak_rss_mib']:,}", memory] if has_memory else []
            lines.append(f"| {' | '.join(cells + [against.get('opponent', '')])} |")
    return "\n".join([*lines, "", *notes(record), ""])


def notes(record):
    """When and on what each key of a record was measured."""
    lines = []
    for key, one in record.items():
        busy = " **The machine was busy: not to be quoted.**" if one["load"] > BUSY_LOAD else ""
        lines.append(f"- {key}: {one['date']}, {one['versions']}, {one['threads']} threads, "
                     f"{one['load']} cores busy before.{busy}")  # fmt: skip
    return lines


def write(given, name, title, key, value, text_of=markdown):
    """Puts `value` under `key` into the record's NAME.json, and writes NAME.md anew."""
    path = folder(given) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = json.loads(path.read_text()) if path.exists() else {}
    record[key] = value
    path.write_text(json.dumps(record, indent=1) + "\n")
    text = text_of(title, record)
    path.with_suffix(".md").write_text(text)
    print(text)
    print(f"written to {path} and {path.with_suffix('.md')}")
