#!/usr/bin/env python3
"""PyTorch training benchmark: speed and memory of whole steps on the CPU, as one JSON object.

    python bench/torch_train.py --shape nano --mode compile --precision bf16

A step is forward, backward, clipping and fused AdamW over --shape's batch of random ids with the
frequencies of words (1 / rank). `warmup_s` is the time before the first timed step, compiling
included; the other figures cover the timed steps only. `peak_rss_mib` covers the whole process.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time

from shapes import SHAPES


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="nano")
    parser.add_argument("--mode", choices=["eager", "compile"], default="compile")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--head", choices=["full", "adaptive"], default="full")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20, help="timed steps, at most")
    parser.add_argument("--warmup", type=int, default=3, help="steps before the timed ones")
    parser.add_argument("--budget", type=float, default=60, help="stop timing after these seconds")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main():
    options = parse()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    try:
        import torch
        from torch_model import Decoder, Trainer, random_batch, set_up
    except ImportError as missing:
        sys.exit(f"{missing}. Install with: pip install -r bench/requirements.txt")

    set_up(options.threads, options.seed)
    shape = SHAPES[options.shape]
    frequencies = 1 / torch.arange(1, shape.vocab_size + 1).double()
    ids = torch.multinomial(frequencies, 2_000_000, replacement=True)
    is_bf16, is_compiled = options.precision == "bf16", options.mode == "compile"
    trainer = Trainer(Decoder(shape, head=options.head), 1e-3, is_bf16, is_compiled)
    generator = torch.Generator().manual_seed(options.seed)

    def timed_step():
        tokens, targets = random_batch(ids, shape, generator)
        start = time.perf_counter()
        loss = trainer.step(tokens, targets)
        return time.perf_counter() - start, loss.item()

    start = time.perf_counter()
    losses = [timed_step()[1] for _ in range(options.warmup)]
    warmup_s = time.perf_counter() - start
    seconds = []
    deadline = time.perf_counter() + options.budget
    while len(seconds) < options.steps and (len(seconds) < 3 or time.perf_counter() < deadline):
        step_s, loss = timed_step()
        seconds.append(step_s)
        losses.append(loss)

    tokens_per_s = shape.tokens_per_step / statistics.median(seconds)
    is_full = options.head == "full"  # no other head multiplies every row of the vocabulary
    gflops = round(tokens_per_s * shape.flops_per_token / 1e9, 1) if is_full else None
    report = dict(
        program=f"torch {torch.__version__}",
        shape=options.shape,
        mode=options.mode,
        precision=options.precision,
        head=options.head,
        threads=options.threads,
        steps=len(seconds),
        tokens_per_s=round(tokens_per_s, 1),
        best_tokens_per_s=round(shape.tokens_per_step / min(seconds), 1),
        ms_step=round(1e3 * statistics.median(seconds), 2),
        model_gflops=gflops,
        peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        warmup_s=round(warmup_s, 1),
        loss_first=round(losses[0], 7),
        loss_last=round(losses[-1], 7),
    )
    print(json.dumps(report))


if __name__ == "__main__":
    main()
