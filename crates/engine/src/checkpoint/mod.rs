//! Checkpoints: a Hugging Face model folder plus optimiser state, written by one commit protocol.
