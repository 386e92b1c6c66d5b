"""Model shapes of the comparisons, the same as in `crystalline bench`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A Llama decoder with one matrix for embedding and head, and the batch that it trains on."""

    vocab_size: int
    model_dim: int
    n_layers: int
    n_heads: int
    seq_len: int
    n_seqs: int  # sequences in a step

    @property
    def head_dim(self):
        return self.model_dim // self.n_heads

    @property
    def ffn_dim(self):
        """8/3 of the model's width, rounded up to a multiple of 32."""
        return -(-8 * self.model_dim // 96) * 32

    @property
    def tokens_per_step(self):
        return self.n_seqs * self.seq_len

    @property
    def block_params(self):
        """Parameters outside the embedding, gains included."""
        layer = 4 * self.model_dim**2 + 3 * self.model_dim * self.ffn_dim + 2 * self.model_dim
        return self.n_layers * layer + self.model_dim

    @property
    def n_decoded(self):
        """Tokens that decoding is timed over: about equal work, as in `crystalline bench`."""
        n_params = self.block_params + self.vocab_size * self.model_dim
        return min(max(2_000_000_000 // n_params, 48), 256)

    @property
    def flops_per_token(self):
        """Of a training step: 6 a weight, and causal attention, which is half of the square."""
        weights = self.block_params + self.vocab_size * self.model_dim
        return 6 * weights + 6 * self.n_layers * self.seq_len * self.model_dim


SHAPES = {
    "nano": Shape(4096, 128, 4, 4, seq_len=128, n_seqs=32),
    "small": Shape(8192, 384, 6, 6, seq_len=256, n_seqs=16),
    "word": Shape(33278, 128, 4, 4, seq_len=128, n_seqs=32),
    "124m": Shape(50257, 768, 12, 12, seq_len=256, n_seqs=4),
}
