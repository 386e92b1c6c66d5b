#!/usr/bin/env python3
"""Tokeniser check: transformers loads a tokeniser; its ids must equal ours.

    python scripts/check_tokenizer.py FOLDER TEXT IDS
    python scripts/check_tokenizer.py --write FOLDER TEXT IDS
    python scripts/check_tokenizer.py --self-test

FOLDER holds tokenizer.json and tokenizer_config.json, TEXT is a UTF-8 file, and IDS holds the ids
of that text, separated by blanks: what `crystalline tokenizer encode FOLDER < TEXT` prints. With
--write, IDS is written instead, as for the files under crates/text/tests/golden/tokenizers.

The folder is loaded by PreTrainedTokenizerFast, by AutoTokenizer next to the config.json of a Llama,
and by AutoTokenizer after transformers has saved it; all must give the same ids, and, for a
tokeniser without <unk>, the same text back. Exit code: 0 if so, 1 if not, 2 on bad input.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
try:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast
except ImportError as missing:
    sys.exit(f"{missing}. Install with: pip install transformers")

MODEL_CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}


def loaded_three_ways(folder):
    """Yields a name and a tokeniser for each way to load the folder."""
    yield "PreTrainedTokenizerFast", PreTrainedTokenizerFast.from_pretrained(folder)
    with tempfile.TemporaryDirectory() as model, tempfile.TemporaryDirectory() as saved:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(Path(folder) / name, model)
        (Path(model) / "config.json").write_text(json.dumps(MODEL_CONFIG))
        auto = AutoTokenizer.from_pretrained(model)
        yield "AutoTokenizer", auto
        auto.save_pretrained(saved)
        yield "AutoTokenizer, saved again", AutoTokenizer.from_pretrained(saved)


def first_difference(ours, theirs):
    """None if the ids are equal, else a message about the first difference."""
    if ours == theirs:
        return None
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    near = slice(max(at - 2, 0), at + 3)
    return f"{len(ours)} and {len(theirs)} ids, different at {at}: ours {ours[near]}, theirs {theirs[near]}"


def check(folder, text, ours):
    """Prints a line for each way to load the folder; returns whether all agree with `ours`."""
    is_same = True
    for name, tokenizer in loaded_three_ways(folder):
        theirs = tokenizer(text)["input_ids"]
        problem = first_difference(ours, theirs)
        if problem is None and tokenizer.unk_token is None and tokenizer.decode(theirs) != text:
            problem = "the text does not come back"
        print(f"{folder}: {name}: {problem or f'{len(theirs)} ids, the same'}")
        is_same &= problem is None
    return is_same


def self_test():
    """Self-test: each planted error is detected."""
    golden = Path(__file__).parent.parent / "crates/text/tests/golden/tokenizers"
    text = (golden / "other.txt").read_bytes().decode()
    ids = [int(i) for i in (golden / "word/other.ids").read_text().split()]
    assert check(golden / "word", text, ids)
    assert not check(golden / "word", text, ids[:-1])
    assert not check(golden / "word", text + " ", ids)
    assert not check(golden / "bpe", text, ids)
    print("self-test passed: planted errors are found")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?")
    parser.add_argument("text", nargs="?", type=Path)
    parser.add_argument("ids", nargs="?", type=Path)
    parser.add_argument("--write", action="store_true", help="write IDS instead of comparing")
    parser.add_argument("--self-test", action="store_true")
    given = parser.parse_args()
    if given.self_test:
        return self_test()
    if given.ids is None:
        parser.error("FOLDER, TEXT and IDS are needed")
    try:
        # Bytes, because reading as text would turn "\r\n" into "\n".
        text = given.text.read_bytes().decode()
        if given.write:
            ids = PreTrainedTokenizerFast.from_pretrained(given.folder)(text)["input_ids"]
            given.ids.write_text(" ".join(map(str, ids)) + "\n")
        ours = [int(i) for i in given.ids.read_text().split()]
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if check(given.folder, text, ours) else 1


if __name__ == "__main__":
    sys.exit(main())
