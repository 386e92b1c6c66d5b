//! The decoder: its table of tensors, buffers, forward and backward passes.
