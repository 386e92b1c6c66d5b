#!/usr/bin/env python3
"""Prefill speed for 512 tokens, transformers and ours, interleaved, on one shape.

    cargo build --release
    python bench/transformers_speed.py --shape small

transformers runs LlamaForCausalLM with random weights and SDPA, eagerly and compiled, keeps the
keys and values, and computes the logits of the last token only. Ours is compared with the fastest
mode of the same precision; its figure is the best of three each round, ours the median of five.
"""

import argparse
import os
import sys
import time

from program import add_options, interleave, load_before, our_bench, run
from record import entry, write
from shapes import SHAPES

N_PREFILL = 512
MODES = ["eager f32", "compile f32", "eager bf16", "compile bf16"]


def prefill(shape, name):
    """A function that prefills once and returns tokens/s of the best of three."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    mode, precision = name.split()
    config = LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.model_dim,
        intermediate_size=shape.ffn_dim,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        max_position_embeddings=2 * N_PREFILL,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model = LlamaForCausalLM(config).to(dtype).eval()
    forward = torch.compile(model) if mode == "compile" else model
    ids = (torch.arange(N_PREFILL) * 7919 % shape.vocab_size)[None]

    def once():
        start = time.perf_counter()
        with torch.inference_mode():
            forward(input_ids=ids, use_cache=True, logits_to_keep=1)
        return N_PREFILL / (time.perf_counter() - start)

    once()  # compiles
    once()
    return lambda: max(once() for _ in range(3))


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--peer-only", action="store_true", help="leave ours out")
    add_options(parser)
    return parser.parse_args()


def main():
    options, load = parse(), load_before()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import torch
        import transformers
    except ImportError as missing:
        sys.exit(f"{missing}. Install with: pip install -r bench/requirements.txt")
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)

    shape = SHAPES[options.shape]
    sides = {f"transformers {name}": prefill(shape, name) for name in options.modes}
    ours = {}
    for precision in [] if options.peer_only else ["f32", "bf16"]:
        command = our_bench(options, options.shape, precision, "--prefill", "--steps", "5")
        name = f"ours {precision}"
        ours[name] = [side for side in sides if side.endswith(precision)]
        sides[name] = lambda command=command: run(command)["tokens_per_second"]
    figures = interleave(sides, options.rounds)
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}"
    note = dict(versions=versions, load=load, threads=options.threads)
    title = "Prefill of 512 tokens against transformers"
    write(options.record, "transformers", title, options.shape, entry(figures, ours, note))


if __name__ == "__main__":
    main()
