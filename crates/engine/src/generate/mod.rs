//! Prefill, KV cache, decoding and sampling.
