//! Corpora, token files, batches, and the built-in stories.
