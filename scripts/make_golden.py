#!/usr/bin/env python3
"""Golden files for the engine's tests: writes crates/engine/tests/golden/.

Each case is a random model small enough to commit. PyTorch and transformers run it once, in f32 on
one thread, and this script stores the results: logits, loss, every gradient, and the
parameters after ten optimiser steps. The README.md beside the files, written by this script too,
describes each file. The tests read the files and do not need PyTorch.

    pip install torch transformers safetensors numpy
    python scripts/make_golden.py
"""

import argparse
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
try:
    import numpy as np
    import safetensors.numpy
    import torch
    import torch.nn.functional as F
    import transformers
except ImportError as missing:
    sys.exit(f"{missing}. Install with: pip install torch transformers safetensors numpy")

DEFAULT_OUT = Path(__file__).resolve().parent.parent / "crates/engine/tests/golden"
IGNORE = 0xFFFF_FFFF  # a target that does not count, as the engine writes it
TORCH_VERSION = torch.__version__.split("+")[0]
TORCH_IGNORE = -100  # the same for PyTorch
N_STEPS = 10
OPTIMISER = dict(lr=3e-3, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1)


@dataclass(frozen=True)
class Case:
    """One tiny model: its transformers class, its shape, its batches."""

    name: str
    why: str
    architecture: str  # class name in transformers
    vocab_size: int
    model_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    ffn_dim: int
    seq_len: int
    n_seqs: int
    is_tied: bool
    seed: int
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5
    grad_norm_max: float = 1.0
    n_ignored: int = 0  # targets of each batch that do not count
    init_std: float = 0.15  # large enough that attention is far from uniform

    def config(self):
        shape = dict(
            vocab_size=self.vocab_size,
            hidden_size=self.model_dim,
            num_hidden_layers=self.n_layers,
            num_attention_heads=self.n_heads,
            num_key_value_heads=self.n_kv_heads,
            head_dim=self.head_dim,
            intermediate_size=self.ffn_dim,
            max_position_embeddings=self.seq_len,
            tie_word_embeddings=self.is_tied,
            rms_norm_eps=self.rms_norm_eps,
            rope_parameters=dict(rope_type="default", rope_theta=self.rope_theta),
            attention_bias=False,
            attention_dropout=0.0,
            dtype="float32",
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        )
        kind = getattr(transformers, self.architecture.replace("ForCausalLM", "Config"))
        return kind(architectures=[self.architecture], **shape)

    def model(self, attention="eager"):
        config = self.config()
        config._attn_implementation = attention
        return getattr(transformers, self.architecture)(config).train()


CASES = [
    Case(
        name="llama-untied",
        why="grouped queries, separate embedding and head",
        architecture="LlamaForCausalLM",
        vocab_size=64, model_dim=24, n_layers=2, n_heads=3, n_kv_heads=1, head_dim=8, ffn_dim=40,
        seq_len=16, n_seqs=2, is_tied=False, seed=1,
    ),
    Case(
        name="llama-tied",
        why="one matrix for embedding and head, odd sizes, some targets that do not count, "
        "a clipping bound that only some steps exceed",
        architecture="LlamaForCausalLM",
        vocab_size=61, model_dim=18, n_layers=2, n_heads=3, n_kv_heads=3, head_dim=6, ffn_dim=28,
        seq_len=11, n_seqs=3, is_tied=True, seed=2, n_ignored=5, grad_norm_max=2.5,
    ),
    Case(
        name="qwen3-qk-norm",
        why="RMSNorm on each query and key head, heads wider together than the model, another "
        "rotary base and epsilon",
        architecture="Qwen3ForCausalLM",
        vocab_size=53, model_dim=16, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=8, ffn_dim=24,
        seq_len=13, n_seqs=2, is_tied=True, seed=3, rope_theta=1e6, rms_norm_eps=1e-6,
    ),
]  # fmt: skip


@dataclass
class Outcome:
    """Results of one run of a case, as numpy arrays or plain numbers."""

    logits: np.ndarray = None
    grads: dict = field(default_factory=dict)
    after: dict = field(default_factory=dict)
    losses: list = field(default_factory=list)  # before each step's update
    grad_norms: list = field(default_factory=list)  # before clipping


def initial_weights(case):
    """Weights by name. Gains are drawn around 1, so that an omitted gain is noticed."""
    generator = torch.Generator().manual_seed(case.seed)
    weights = {}
    for name, parameter in case.model().named_parameters():  # a tied matrix comes once
        noise = torch.randn(parameter.shape, generator=generator)
        is_gain = parameter.dim() == 1
        weights[name] = 1 + 0.2 * noise if is_gain else case.init_std * noise
    return weights


def batches(case):
    """Tokens and targets, each (N_STEPS, n_seqs, seq_len); targets are the next tokens."""
    rng = np.random.default_rng(case.seed)
    text = rng.integers(case.vocab_size, size=(N_STEPS, case.n_seqs, case.seq_len + 1))
    tokens, targets = text[..., :-1].copy(), text[..., 1:].copy()
    for batch in targets:
        ignored = rng.choice(batch.size, case.n_ignored, replace=False)
        batch.reshape(-1)[ignored] = TORCH_IGNORE
    return torch.from_numpy(tokens), torch.from_numpy(targets)


def optimiser(model):
    """AdamW that decays matrices and leaves gains alone."""
    matrices = [p for p in model.parameters() if p.dim() == 2]
    gains = [p for p in model.parameters() if p.dim() == 1]
    return torch.optim.AdamW(
        [
            dict(params=matrices, weight_decay=OPTIMISER["weight_decay"]),
            dict(params=gains, weight_decay=0.0),
        ],
        lr=OPTIMISER["lr"],
        betas=(OPTIMISER["beta1"], OPTIMISER["beta2"]),
        eps=OPTIMISER["eps"],
        foreach=False,
        fused=False,
    )


def run(case, weights, tokens, targets, attention="eager"):
    """N_STEPS training steps; logits and gradients are those of the first."""
    model = case.model(attention)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
    adamw = optimiser(model)
    outcome = Outcome()
    for step in range(N_STEPS):
        logits = model(input_ids=tokens[step], use_cache=False).logits
        loss = F.cross_entropy(
            logits.flatten(0, 1), targets[step].flatten(), ignore_index=TORCH_IGNORE
        )
        adamw.zero_grad(set_to_none=True)
        loss.backward()
        if step == 0:
            outcome.logits = logits.detach().numpy().copy()
            outcome.grads = {n: p.grad.numpy().copy() for n, p in model.named_parameters()}
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), case.grad_norm_max)
        adamw.step()
        outcome.losses.append(loss.item())
        outcome.grad_norms.append(norm.item())
    outcome.after = {n: p.detach().numpy().copy() for n, p in model.named_parameters()}
    return outcome


def rounding_noise(a, b):
    """Difference of two correct runs, below which no bound of a test may lie."""
    def relative_to_norm(x, y):
        return float(np.linalg.norm(x - y) / np.linalg.norm(x))

    return {
        "logits_max_abs": float(np.abs(a.logits - b.logits).max()),
        "loss_max_abs": max(abs(x - y) for x, y in zip(a.losses, b.losses)),
        "grads_max_of_norm": max(relative_to_norm(a.grads[n], b.grads[n]) for n in a.grads),
        "after_max_abs": max(float(np.abs(a.after[n] - b.after[n]).max()) for n in a.after),
    }


def write_case(case, out):
    weights, (tokens, targets) = initial_weights(case), batches(case)
    golden = run(case, weights, tokens, targets)
    other = run(case, weights, tokens, targets, attention="sdpa")

    folder = out / case.name
    folder.mkdir(parents=True, exist_ok=True)
    case.config().to_json_file(folder / "config.json")
    plain = {name: w.numpy() for name, w in weights.items()}
    safetensors.numpy.save_file(plain, folder / "model.safetensors", metadata={"format": "pt"})

    counted = np.where(targets == TORCH_IGNORE, IGNORE, targets).astype(np.uint32)
    arrays = {"tokens": tokens.numpy().astype(np.uint32), "targets": counted}
    arrays["logits"] = golden.logits
    arrays |= {f"grad.{n}": g for n, g in golden.grads.items()}
    arrays |= {f"after.{n}": p for n, p in golden.after.items()}
    safetensors.numpy.save_file(arrays, folder / "expected.safetensors")

    expected = dict(
        loss=golden.losses[0],
        losses=golden.losses,
        grad_norms=golden.grad_norms,
        optimiser=OPTIMISER | dict(grad_norm_max=case.grad_norm_max),
        rounding_noise=rounding_noise(golden, other),
        made_with=dict(torch=TORCH_VERSION, transformers=transformers.__version__),
    )
    (folder / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")
    noise = ", ".join(f"{k} {v:.1e}" for k, v in expected["rounding_noise"].items())
    print(f"{case.name}: loss {golden.losses[0]:.4f} -> {golden.losses[-1]:.4f}, noise: {noise}")


README = """# Golden files

What PyTorch and transformers computed for tiny random models, so that the tests can compare the
engine with them without either installed. Written by `scripts/make_golden.py` (everything here,
this page included) with torch {torch} and transformers {transformers}, in f32 on one thread.
Do not edit by hand; run the script again, which gives the same files with the same versions.

| folder | model | why |
| --- | --- | --- |
{cases}

In each folder:

| file | holds |
| --- | --- |
| `config.json` | the model's configuration as transformers writes it |
| `model.safetensors` | the initial weights under their Hugging Face names; a tied head is absent |
| `expected.safetensors` | `tokens`, `targets` (u32, (10, B, T), one batch a step; {ignore} is a target that does not count); `logits` (B, T, V) of the first batch; `grad.NAME`, the gradient of the first batch's mean loss, before clipping; `after.NAME`, the parameters after ten steps |
| `expected.json` | `loss` of the first batch; `losses` and `grad_norms` of the ten steps, each before its update, the norm before clipping; the optimiser's constants; `rounding_noise` |

The loss is the mean over the targets that count, in nats. A step is: gradients of one batch; all
of them scaled by min(1, bound / (norm + 1e-6)), norm being their global norm; AdamW with decoupled decay
on matrices and none on gains (tensors of one dimension); a constant learning rate.

`rounding_noise` compares the stored run with a second one that differs only in how PyTorch computes
attention (`sdpa` instead of `eager`). Both are right, so no bound in a test may be tighter: largest
absolute difference of a logit, a loss, a parameter after ten steps, and the largest difference of
a gradient tensor relative to its norm.
"""


def write_readme(out):
    rows = []
    for c in CASES:
        shape = (
            f"{c.architecture}, V={c.vocab_size} C={c.model_dim} L={c.n_layers} H={c.n_heads} "
            f"K={c.n_kv_heads} D={c.head_dim} F={c.ffn_dim}, B={c.n_seqs} T={c.seq_len}"
        )
        rows.append(f"| `{c.name}` | {shape} | {c.why} |")
    text = README.format(
        torch=TORCH_VERSION,
        transformers=transformers.__version__,
        cases="\n".join(rows),
        ignore=IGNORE,
    )
    (out / "README.md").write_text(text)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder to write into")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for case in CASES:
        write_case(case, out)
    write_readme(out)
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    print(f"{size / 1000:.0f} kB in {out}")


if __name__ == "__main__":
    main()
