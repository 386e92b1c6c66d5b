#!/usr/bin/env python3
"""Loads a model folder with transformers and compares its logits with ours.

    python scripts/check_checkpoint.py MODEL_DIR ours.json
    python scripts/check_checkpoint.py --self-test

`ours.json` is what our program computed from the same folder:
{"ids": [int, ...], "logits": [[float, ...], ...]}, one row of logits for each id, the ids being one
sequence from its start. It may also have "texts": [{"text": str, "ids": [int, ...]}, ...], which
the folder's tokenizer must encode to the same ids and decode back to the same text.

Prints the largest difference. Exit code: 0 within the bound, 1 above it, 2 on bad input.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
try:
    import numpy as np
    import torch
    import transformers
except ImportError as missing:
    sys.exit(f"{missing}. Install with: pip install torch transformers safetensors numpy")


def reference_logits(folder, ids):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double().numpy()


def largest_difference(ours, reference):
    """Largest absolute difference; infinite if a shape differs or a number is not finite."""
    ours = np.array(ours, dtype=np.float64)
    if ours.shape != reference.shape:
        print(f"logits: ours are {ours.shape}, transformers gives {reference.shape}")
        return float("inf")
    if not (np.isfinite(ours).all() and np.isfinite(reference).all()):
        print("logits: not all of them are finite")
        return float("inf")
    return float(np.abs(ours - reference).max())


def wrong_texts(tokenizer, texts):
    """Says which texts the tokenizer reads or writes otherwise than we do; returns how many."""
    wrong = 0
    for expected in texts:
        ids = tokenizer.encode(expected["text"], add_special_tokens=False)
        text = tokenizer.decode(expected["ids"], clean_up_tokenization_spaces=False)
        if ids != expected["ids"]:
            print(f"text {expected['text']!r}: ours {expected['ids']}, transformers {ids}")
        elif text != expected["text"]:
            print(f"text {expected['text']!r}: transformers decodes {text!r}")
        else:
            continue
        wrong += 1
    return wrong


def check(folder, ours, bound):
    """Whether transformers agrees with `ours` about the model in `folder`."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    difference = largest_difference(ours["logits"], reference_logits(folder, ours["ids"]))
    print(f"largest difference of {len(ours['ids'])} rows of logits: {difference:.3e}")
    texts = ours.get("texts", [])
    wrong = wrong_texts(tokenizer, texts)
    if texts:
        print(f"texts encoded and decoded alike: {len(texts) - wrong} of {len(texts)}")
    return difference <= bound and wrong == 0


def self_test(bound):
    """Checks this checker: a right answer passes, and each planted error is caught."""
    with tempfile.TemporaryDirectory() as folder:
        write_tiny_folder(folder)
        ids = [3, 1, 4, 1, 5]
        logits = reference_logits(folder, ids).tolist()
        right = {"ids": ids, "logits": logits, "texts": [{"text": "ab", "ids": [0, 1]}]}
        nudged = [row.copy() for row in logits]
        nudged[2][3] += 2 * bound
        planted = {
            "one logit off": right | {"logits": nudged},
            "a row missing": right | {"logits": logits[:-1]},
            "not a number": right | {"logits": [[float("nan")] * len(logits[0])] * len(logits)},
            "other token ids": right | {"texts": [{"text": "ab", "ids": [1, 0]}]},
        }
        passed = check(folder, right, bound)
        missed = [name for name, wrong in planted.items() if check(folder, wrong, bound)]
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


def read_ours(path):
    try:
        ours = json.loads(Path(path).read_text())
        if not ours["ids"] or not ours["logits"]:
            raise ValueError('"ids" or "logits" is empty')
        return ours
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{path}: expected {{'ids': [...], 'logits': [[...]]}}: {error!r}", file=sys.stderr)
        sys.exit(2)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model_dir", nargs="?", help="Hugging Face model folder")
    parser.add_argument("ours", nargs="?", help="JSON file with ids and logits")
    parser.add_argument("--bound", type=float, default=1e-4, help="default: %(default)g")
    parser.add_argument("--self-test", action="store_true", help="check the checker")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    if options.self_test:
        return self_test(options.bound)
    if options.ours is None:
        parser.error("MODEL_DIR and the JSON file are needed")
    if not Path(options.model_dir, "config.json").is_file():
        parser.error(f"{options.model_dir} has no config.json: not a model folder")
    sys.exit(0 if check(options.model_dir, read_ours(options.ours), options.bound) else 1)


if __name__ == "__main__":
    main()
