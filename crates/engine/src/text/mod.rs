//! Tokenisers: words, byte-level BPE, characters.
