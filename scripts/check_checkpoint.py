#!/usr/bin/env python3
"""Checkpoint check: transformers loads a model folder; its logits and token ids must equal ours.

    cargo build --release
    python scripts/check_checkpoint.py runs/book other.txt
    python scripts/check_checkpoint.py --self-test

The first argument is a run or a model folder, the second a text. `crystalline eval --dump-logits`
computes the logits of the text's first tokens in f32, by the forward pass of training and again
token by token as in generation; `crystalline tokenizer encode` gives the ids of all of the text.
transformers must give the same ids and, within the bound, the same logits.

Exit code: 0 if they agree, 1 if not, 2 on bad input.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import zip_longest
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
try:
    import numpy as np
    import safetensors.numpy
    import torch
    import transformers
except ImportError as missing:
    sys.exit(f"{missing}. Install with: pip install torch transformers safetensors numpy")


def ours(program, model, text):
    """Path of the model, our logits by name, and our ids of the whole text."""
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder) / "logits.safetensors"
        command = [program, "eval", model, text, "--precision", "f32", "--json"]
        report = json.loads(output_of([*command, "--dump-logits", dump]))
        tensors = safetensors.numpy.load_file(dump)
    with open(text, "rb") as stdin:
        ids = output_of([program, "tokenizer", "encode", report["model"]], stdin).split()
    return report["model"], tensors, [int(i) for i in ids]


def output_of(command, stdin=None):
    try:
        return subprocess.run(command, stdin=stdin, stdout=subprocess.PIPE, check=True).stdout
    except OSError as error:
        bad_input(f"{command[0]}: {error}. Build with: cargo build --release")
    except subprocess.CalledProcessError as error:
        bad_input(error)


def bad_input(why):
    print(why, file=sys.stderr)
    sys.exit(2)


def reference_logits(folder, ids):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    print(f"{type(model).__name__}, {sum(p.numel() for p in model.parameters()):,} parameters")
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double().numpy()


def largest_difference(ours, reference):
    """Largest absolute difference; infinite if a shape differs or a number is not finite."""
    if ours.shape != reference.shape:
        print(f"logits: ours are {ours.shape}, transformers gives {reference.shape}")
        return float("inf")
    if not (np.isfinite(ours).all() and np.isfinite(reference).all()):
        print("logits: not all of them are finite")
        return float("inf")
    return float(np.abs(ours - reference).max())


def are_logits_equal(folder, tensors, bound):
    ids = tensors["ids"].astype(int).tolist()
    reference = reference_logits(folder, ids)
    differences = {n: largest_difference(tensors[n], reference) for n in ("logits", "decoded")}
    rows = f"{len(ids)} rows, logits from {reference.min():.2f} to {reference.max():.2f}"
    for name, difference in differences.items():
        print(f"largest difference of {name}: {difference:.3e} ({rows})")
    return max(differences.values()) <= bound


def are_ids_equal(folder, text, ids):
    theirs = transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
    wrong = [i for i, pair in enumerate(zip_longest(ids, theirs)) if pair[0] != pair[1]]
    if wrong:
        print(f"ids: {len(wrong)} of {len(ids)} differ, the first at {wrong[0]}")
    else:
        print(f"ids of the text: {len(ids)}, all equal")
    return not wrong


def check(folder, text, tensors, ids, bound):
    """Whether transformers agrees with ours about the model and the tokeniser in `folder`."""
    return are_logits_equal(folder, tensors, bound) & are_ids_equal(folder, text, ids)


def self_test(bound):
    """Self-test: a right answer passes, and each planted error is detected."""
    with tempfile.TemporaryDirectory() as folder:
        write_tiny_folder(folder)
        ids = [3, 1, 4, 1, 5]
        logits = reference_logits(folder, ids)
        right = {"ids": np.array(ids, np.float32), "logits": logits, "decoded": logits}
        nudged = logits.copy()
        nudged[2, 3] += 2 * bound
        planted = {
            "one logit off": (right | {"logits": nudged}, [0, 1]),
            "one decoded logit off": (right | {"decoded": nudged}, [0, 1]),
            "a row missing": (right | {"logits": logits[:-1]}, [0, 1]),
            "not a number": (right | {"logits": np.full_like(logits, np.nan)}, [0, 1]),
            "other token ids": (right, [1, 0]),
            "an id too many": (right, [0, 1, 2]),
        }
        passed = check(folder, "ab", right, [0, 1], bound)
        missed = [name for name, wrong in planted.items() if check(folder, "ab", *wrong, bound)]
    if missed or not passed:
        sys.exit(f"self-test failed: right answer accepted: {passed}; not caught: {missed}")
    print(f"self-test passed: {len(planted)} planted errors caught")


def write_tiny_folder(folder):
    from tokenizers import Tokenizer, decoders, models

    letters = {letter: i for i, letter in enumerate("abcdefgh")}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.decoder = decoders.Fuse()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=len(letters), hidden_size=16, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8, max_position_embeddings=8,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", help="a run or a model folder")
    parser.add_argument("text", nargs="?", type=Path, help="a text file")
    parser.add_argument("--program", default="target/release/crystalline")
    parser.add_argument("--bound", type=float, default=1e-4, help="default: %(default)g")
    parser.add_argument("--self-test", action="store_true", help="check the checker")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    if options.self_test:
        return self_test(options.bound)
    if options.text is None:
        parser.error("a model and a text are needed")
    folder, tensors, ids = ours(options.program, options.model, options.text)
    # Bytes, because reading as text would turn "\r\n" into "\n".
    text = options.text.read_bytes().decode()
    sys.exit(0 if check(folder, text, tensors, ids, options.bound) else 1)


if __name__ == "__main__":
    main()
