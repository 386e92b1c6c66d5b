#!/usr/bin/env python3
"""Speed of decoding and prefill, llama.cpp and ours, interleaved, on one shape with random weights.

    cargo build --release
    python bench/llama_cpp_speed.py --shape small

Decoding is one token at a time from an empty cache, 48 to 256 of them, by the size of the model, as
in `crystalline bench`; prefill is 512 tokens at once with the logits of the last. llama.cpp's
figure is the best of three each round, ours the median of five. The weights go into a GGUF file of
each format, in a temporary folder. llama.cpp should be built for this processor:

    CMAKE_ARGS=-DGGML_NATIVE=ON pip install --no-binary llama-cpp-python llama-cpp-python
"""

import argparse
import ctypes
import os
import sys
import tempfile
import time

from program import add_options, interleave, load_before, our_bench, run
from record import entry, write
from shapes import SHAPES

FORMATS = {"F32": "f32", "BF16": "bf16"}  # ours beside llama.cpp's
N_CONTEXT = 1024
N_PREFILL = 512


def write_gguf(path, shape, fmt):
    """Random weights of `shape`, embedding and head in one, with no tokeniser."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(N_CONTEXT)
    writer.add_embedding_length(shape.model_dim)
    writer.add_block_count(shape.n_layers)
    writer.add_feed_forward_length(shape.ffn_dim)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_vocab_size(shape.vocab_size)
    writer.add_tokenizer_model("none")

    rng = np.random.default_rng(1)
    kind = gguf.GGMLQuantizationType[fmt]
    width, hidden = shape.model_dim, shape.ffn_dim

    def gain(name):
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))

    def matrix(name, n_out, n_in):
        weight = 0.02 * rng.standard_normal((n_out, n_in), dtype=np.float32)
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(weight, kind), raw_dtype=kind)

    matrix("token_embd", shape.vocab_size, width)
    gain("output_norm")
    for layer in range(shape.n_layers):
        block = f"blk.{layer}."
        gain(block + "attn_norm")
        gain(block + "ffn_norm")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(block + name, width, width)
        matrix(block + "ffn_gate", hidden, width)
        matrix(block + "ffn_up", hidden, width)
        matrix(block + "ffn_down", width, hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class LlamaCpp:
    """A model and its context, through llama.cpp's C interface."""

    def __init__(self, path, shape, threads):
        import llama_cpp

        self.api, self.shape = llama_cpp, shape
        model_params = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), model_params)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = N_CONTEXT, N_PREFILL, N_PREFILL
        params.n_threads = params.n_threads_batch = threads
        self.context = self.model and llama_cpp.llama_init_from_model(self.model, params)
        if not self.context:
            sys.exit(f"llama.cpp does not load {path}")

    def feed(self, ids):
        array = (self.api.llama_token * len(ids))(*ids)  # must outlive the call
        batch = self.api.llama_batch_get_one(array, len(ids))
        if self.api.llama_decode(self.context, batch) != 0:
            sys.exit(f"llama.cpp does not take {len(ids)} tokens")
        self.api.llama_synchronize(self.context)

    def clear(self):
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)

    def timed(self, batches):
        """Tokens/s of the best of three."""
        best = 0.0
        for _ in range(3):
            self.clear()
            start = time.perf_counter()
            for ids in batches:
                self.feed(ids)
            best = max(best, sum(map(len, batches)) / (time.perf_counter() - start))
        return best

    def prefill(self):
        return self.timed([[i * 7919 % self.shape.vocab_size for i in range(N_PREFILL)]])

    def decode(self):
        ids = [i * 7919 % self.shape.vocab_size for i in range(self.shape.n_decoded)]
        return self.timed([[i] for i in ids])


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--peer-only", action="store_true", help="leave ours out")
    add_options(parser)
    return parser.parse_args()


def main():
    options, load = parse(), load_before()
    try:
        import gguf  # noqa: F401
        import llama_cpp
    except ImportError as missing:
        sys.exit(f"{missing}. Install with: pip install -r bench/requirements.txt")
    quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()

    shape, sides, ours = SHAPES[options.shape], {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for fmt in options.formats:
            path = os.path.join(folder, f"{options.shape}-{fmt}.gguf")
            write_gguf(path, shape, fmt)
            peer = LlamaCpp(path, shape, options.threads)
            peer.prefill()  # the first is slower
            sides[f"llama.cpp {fmt} decode"] = peer.decode
            sides[f"llama.cpp {fmt} prefill"] = peer.prefill
            for what in [] if options.peer_only else ["decode", "prefill"]:
                flags = [f"--{what}", "--steps", "5"]
                command = our_bench(options, options.shape, FORMATS[fmt], *flags)
                name = f"ours {FORMATS[fmt]} {what}"
                sides[name] = lambda command=command: run(command)["tokens_per_second"]
                ours[name] = [f"llama.cpp {fmt} {what}"]
        figures = interleave(sides, options.rounds)
    version = f"llama-cpp-python {llama_cpp.__version__}"
    note = dict(versions=version, load=load, threads=options.threads)
    title = "One text against llama.cpp: decoding, and prefill of 512 tokens"
    write(options.record, "llama_cpp", title, options.shape, entry(figures, ours, note))


if __name__ == "__main__":
    main()
