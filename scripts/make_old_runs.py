#!/usr/bin/env python3
"""Fixture runs of tiny models that the tests resume: crates/app/tests/it/program/fixtures/KIND/.

A folder with a settings.toml and without a run gets both: `run`, as the given program left it when
stopped halfway, and `expected.json`, the results of the same program after it resumed that run. An
existing run is kept, since it shows what an earlier program wrote; to replace it, remove its folder
first. For a new format add a folder with a settings file and run the script once.

    cargo build --release
    python scripts/make_old_runs.py target/release/crystalline

Every command uses the portable instructions, so any x86-64 processor gets the same bits under Linux.
"""

import argparse
import json
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

FIXTURES = Path(__file__).resolve().parent.parent / "crates/app/tests/it/program/fixtures"
TEXTS = ["text.txt", "valid.txt"]
STOP_AT = 6  # of 12 steps, as the settings files have it
# Generates text with the finished model; the test uses the same arguments.
GENERATE = ["generate", "run", "Once", "--seed", "7", "--max-tokens", "24"]


def run(program: Path, folder: Path, *args: str) -> str:
    """Runs the program in `folder`; returns what it wrote to stdout."""
    env = {**os.environ, "CRYSTALLINE_ISA": "portable", "CI": "1"}
    done = subprocess.run([program, *args], cwd=folder, env=env, capture_output=True, encoding="utf-8")
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(args)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def fnv1a(data: bytes) -> str:
    """The 64-bit Fowler-Noll-Vo hash: short, and sufficient without attackers."""
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def tensors(path: Path) -> dict[str, str]:
    """Shape and hash of each tensor of a safetensors file, by name."""
    data = path.read_bytes()
    (n,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + n])
    header.pop("__metadata__", None)
    values = data[8 + n :]
    return {
        name: f"{t['shape']} {fnv1a(values[slice(*t['data_offsets'])])}"
        for name, t in sorted(header.items())
    }


def last_row(path: Path) -> dict:
    """The last line of a file of JSON lines, or nothing."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return json.loads(lines[-1]) if lines else {}


def newest(run_folder: Path) -> Path:
    return max((run_folder / "checkpoints").glob("step-*"))


def make(program: Path, fixture: Path) -> None:
    """Makes the run of one kind, and resumes a copy of it for the expected result."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for text in TEXTS:
            shutil.copy(FIXTURES / text, folder)
        shutil.copy(fixture / "settings.toml", folder)
        stop = ["--stop-at", str(STOP_AT), "--threads", "1"]
        run(program, folder, "train", "--config", "settings.toml", "--out", "run", *stop)
        (folder / "run/run.lock").unlink(missing_ok=True)
        for checkpoint in (folder / "run/checkpoints").iterdir():
            if checkpoint != newest(folder / "run"):
                shutil.rmtree(checkpoint)
        shutil.copytree(folder / "run", fixture / "run")
        run(program, folder, "resume", "run", "--threads", "1")
        end = newest(folder / "run")
        expected = {
            "train_loss": last_row(folder / "run/metrics.jsonl")["train_loss"],
            "val_loss": last_row(folder / "run/evals.jsonl").get("val_loss"),
            "written": run(program, folder, *GENERATE),
            "model": tensors(end / "model.safetensors"),
            "optimizer": tensors(end / "optimizer.safetensors"),
        }
    text = json.dumps(expected, indent=2, ensure_ascii=False) + "\n"
    (fixture / "expected.json").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("program", type=Path, help="the program to make the runs with")
    program = parser.parse_args().program.resolve()
    for settings in sorted(FIXTURES.glob("*/settings.toml")):
        fixture = settings.parent
        if (fixture / "run").exists():
            print(f"{fixture.name}: there already")
            continue
        make(program, fixture)
        size = sum(f.stat().st_size for f in fixture.rglob("*") if f.is_file())
        print(f"{fixture.name}: {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
