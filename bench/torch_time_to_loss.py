#!/usr/bin/env python3
"""PyTorch loss over time, on the data and the model of one of our runs.

    crystalline train text.txt --tokenizer char --time 10m --out runs/chars
    python bench/torch_time_to_loss.py runs/chars --seconds 600 > chars.jsonl

The run's folder supplies the tokens, the held-out tokens, and as defaults the same model, batch,
learning rate, dropout and schedule (PyTorch's best may differ: try --lr). The schedule covers the
seconds: linear warm-up, a constant phase, linear decay to zero.

The clock counts training steps only. Loading, compiling and evaluating are excluded, as they are
from `elapsed_s` in our metrics.jsonl. Each line on stdout is an evaluation on all
of the held-out tokens in f32: {"seconds", "step", "tokens", "val_loss"}; the first line holds the
settings instead.
"""

import argparse
import json
import os
import struct
import sys
import time
import tomllib
from pathlib import Path

from shapes import Shape


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder that `crystalline train` made")
    parser.add_argument("--seconds", type=float, default=600, help="length of the training")
    parser.add_argument("--mode", choices=["eager", "compile"], default="compile")
    parser.add_argument("--head", choices=["full", "adaptive"], default="full", help="adaptive: ids are"
                        " put in order of frequency first")  # fmt: skip
    parser.add_argument("--precision", choices=["f32", "bf16"], help="default: the run's")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--evals", type=int, default=12, help="evaluations, spread evenly")
    run = parser.add_argument_group("what else would be as in the run")
    run.add_argument("--model-dim", type=int)
    run.add_argument("--layers", type=int)
    run.add_argument("--heads", type=int)
    run.add_argument("--seq-len", type=int)
    run.add_argument("--batch", type=int, help="sequences in a step")
    run.add_argument("--lr", type=float)
    run.add_argument("--dropout", type=float)
    run.add_argument("--warmup-steps", type=int)
    run.add_argument("--decay", type=float, help="share of the time over which the rate decays")
    run.add_argument("--seed", type=int)
    return parser.parse_args()


def settings(options):
    """Every option, those not given being the run's."""
    try:
        config = tomllib.loads((options.run / "config.toml").read_text())
    except OSError as error:
        sys.exit(f"{error}. Give the folder of a run that `crystalline train` made")
    model, train = config["model"], config["train"]
    if not model["tie_embeddings"] or model["qk_norm"] or model["n_kv_heads"] != model["n_heads"]:
        sys.exit("this script's model has tied embeddings, no QK-norm and no grouped queries")
    defaults = dict(
        precision=train["precision"],
        model_dim=model["model_dim"],
        layers=model["n_layers"],
        heads=model["n_heads"],
        seq_len=model["seq_len"],
        batch=train["batch_seqs"],
        lr=train["lr"],
        dropout=train["dropout"],
        warmup_steps=train["warmup_steps"],
        decay=train["decay_steps"] / train["n_steps"],
        seed=train["seed"],
    )
    given = {name: value for name, value in vars(options).items() if value is not None}
    adamw = {name: train["optimizer"][name] for name in ("beta1", "beta2", "weight_decay")}
    return argparse.Namespace(**defaults | given | adamw, vocab_size=model["vocab_size"])


def read_tokens(path):
    """The ids in a token file, and whether each is a target: the mark of a text's beginning is none.

    See docs/format.md. Version 1 has no marks.
    """
    import numpy as np
    import torch

    data = path.read_bytes()
    magic, version, width, _, n_tokens = struct.unpack_from("<8sIIQQ", data)
    if magic != b"crystok\0" or version not in (1, 2):
        sys.exit(f"{path}: not a token file that this script knows")
    kind = {2: np.uint16, 4: np.uint32}[width]
    ids = np.frombuffer(data, kind, count=n_tokens, offset=160)
    is_target = torch.ones(n_tokens, dtype=torch.bool)
    if version == 2:
        positions = np.frombuffer(data, "<u8", offset=160 + width * n_tokens + 8)
        is_target[torch.from_numpy(positions.astype(np.int64))] = False
    return torch.from_numpy(ids.astype(np.int64)), is_target


def by_frequency(ids, others, vocab_size):
    """Both, with ids by falling frequency in the first: what an adaptive softmax expects."""
    import torch

    order = torch.bincount(ids, minlength=vocab_size).argsort(descending=True, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(vocab_size)
    return rank[ids], rank[others]


def windows(ids, is_target, seq_len, ignore):
    """Tokens and targets, each (windows, T): every token but the first and marks is a target once."""
    import torch

    n_windows = -(-(len(ids) - 1) // seq_len)
    tokens = torch.zeros(n_windows * seq_len, dtype=torch.int64)
    targets = torch.full_like(tokens, ignore)
    tokens[: len(ids) - 1], targets[: len(ids) - 1] = ids[:-1], ids[1:].where(is_target[1:], ignore)
    return tokens.view(n_windows, seq_len), targets.view(n_windows, seq_len)


def evaluate(model, tokens, targets, batch, ignore):
    """Mean loss in nats over all targets, in f32 whatever the training is in."""
    import torch

    model.eval()
    nats = 0.0
    with torch.no_grad():
        for rows, wanted in zip(tokens.split(batch), targets.split(batch)):
            nats += model(rows, wanted).item() * (wanted != ignore).sum().item()
    model.train()
    return nats / (targets != ignore).sum().item()


def main():
    s = settings(parse())
    os.environ["OMP_NUM_THREADS"] = str(s.threads)
    try:
        import torch
        from torch_model import IGNORE, Decoder, Trainer, random_batch, set_up
    except ImportError as missing:
        sys.exit(f"{missing}. Install with: pip install -r bench/requirements.txt")
    set_up(s.threads, s.seed)
    (train, train_is_target), (valid, valid_is_target) = (
        read_tokens(s.run / f"{name}.tokens") for name in ("train", "valid")
    )
    shape = Shape(s.vocab_size, s.model_dim, s.layers, s.heads, s.seq_len, s.batch)
    if s.head == "adaptive":
        train, valid = by_frequency(train, valid, s.vocab_size)
    model = Decoder(shape, s.dropout, s.head)
    betas = (s.beta1, s.beta2)
    is_bf16, is_compiled = s.precision == "bf16", s.mode == "compile"
    trainer = Trainer(model, s.lr, is_bf16, is_compiled, s.weight_decay, betas)
    generator = torch.Generator().manual_seed(s.seed)
    tokens, targets = windows(valid, valid_is_target, s.seq_len, IGNORE)

    def batch():
        tokens, targets = random_batch(torch.arange(len(train)), shape, generator)
        return train[tokens], train[targets].where(train_is_target[targets], IGNORE)

    print(json.dumps(dict(program=f"torch {torch.__version__}", **vars(s)), default=str))

    for _ in range(2):  # compiles, and leaves the parameters as they were
        trainer.backward(*batch())
        trainer.optimiser.zero_grad(set_to_none=True)
    seconds, step, due = 0.0, 0, s.seconds / s.evals
    while seconds < s.seconds:
        left = 1 - seconds / s.seconds
        warm = (step + 1) / max(1, s.warmup_steps)
        start = time.perf_counter()
        trainer.set_lr(s.lr * min(1.0, warm, left / max(s.decay, 1e-9)))
        trainer.step(*batch())
        seconds += time.perf_counter() - start
        step += 1
        if seconds >= min(due, s.seconds):
            due += s.seconds / s.evals
            loss = evaluate(model, tokens, targets, s.batch, IGNORE)
            row = dict(seconds=round(seconds, 2), step=step, tokens=step * shape.tokens_per_step)
            print(json.dumps(row | dict(val_loss=round(loss, 5))), flush=True)


if __name__ == "__main__":
    main()
