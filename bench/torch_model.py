"""PyTorch Llama decoder and its training step, in idiomatic PyTorch.

Every choice that affects its speed is the fastest that we found: one product for query, key and
value, one for gate and up, SDPA, autocast for bf16, fused AdamW, the whole model compiled.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

IGNORE = -100  # a target that does not count


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x, self.gain.shape, self.gain, 1e-5)


def rotate(x, cos, sin):
    """Rotary positions: element i turns with element i + head_dim / 2. x is (B, H, T, D)."""
    low, high = x.chunk(2, dim=-1)
    return torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1)


class Layer(nn.Module):
    def __init__(self, shape, dropout):
        super().__init__()
        width, hidden = shape.model_dim, shape.ffn_dim
        self.n_heads, self.head_dim = shape.n_heads, shape.head_dim
        self.attention_norm, self.mlp_norm = RmsNorm(width), RmsNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        self.dropout = nn.Dropout(dropout) if dropout > 0 else nn.Identity()

    def attend(self, x, cos, sin):
        n_seqs, seq_len, width = x.shape
        qkv = self.qkv(x).view(n_seqs, seq_len, 3, self.n_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.attention_out(y.transpose(1, 2).reshape(n_seqs, seq_len, width))

    def feed_forward(self, x):
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)

    def forward(self, x, cos, sin):
        x = x + self.dropout(self.attend(self.attention_norm(x), cos, sin))
        return x + self.dropout(self.feed_forward(self.mlp_norm(x)))


class FullHead(nn.Module):
    """The softmax over the vocabulary; its matrix is the embedding."""

    def __init__(self, embedding):
        super().__init__()
        self.embedding = embedding

    def forward(self, x, targets):
        logits = F.linear(x, self.embedding.weight)
        return F.cross_entropy(logits.float(), targets, ignore_index=IGNORE)


CUTOFFS = [2000, 10000]  # the most frequent words, the middle, and the rest


class AdaptiveHead(nn.Module):
    """PyTorch's adaptive softmax (Grave et al. 2017); ids must be in order of frequency."""

    def __init__(self, shape):
        super().__init__()
        width, size = shape.model_dim, shape.vocab_size
        cutoffs = [cutoff for cutoff in CUTOFFS if cutoff < size]
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(width, size, cutoffs, div_value=4.0)

    def forward(self, x, targets):
        counts = targets != IGNORE
        with torch.autocast("cpu", enabled=False):  # its index_copy_ refuses a mixture of types
            log_p = self.softmax(x.float(), targets.clamp(min=0)).output
        return -(log_p * counts).sum() / counts.sum()


HEADS = ["full", "adaptive"]


class Decoder(nn.Module):
    """Tokens and targets, each (B, T), to the mean loss in nats."""

    def __init__(self, shape, dropout=0.0, head="full"):
        super().__init__()
        self.embedding = nn.Embedding(shape.vocab_size, shape.model_dim)
        self.layers = nn.ModuleList(Layer(shape, dropout) for _ in range(shape.n_layers))
        self.final_norm = RmsNorm(shape.model_dim)
        self.head = FullHead(self.embedding) if head == "full" else AdaptiveHead(shape)
        pairs = torch.arange(0, shape.head_dim, 2) / shape.head_dim
        angles = torch.outer(torch.arange(shape.seq_len).float(), 10000.0**-pairs)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        for name, weight in self.named_parameters():
            if weight.dim() == 2 and not name.startswith("head."):
                is_branch_end = name.endswith(("attention_out.weight", "down.weight"))
                std = 0.02 / math.sqrt(2 * shape.n_layers) if is_branch_end else 0.02
                nn.init.normal_(weight, std=std)

    def forward(self, tokens, targets):
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return self.head(self.final_norm(x).flatten(0, 1), targets.flatten())


class Trainer:
    """Whole training steps: forward, backward, clipping to norm 1, AdamW."""

    def __init__(self, model, lr, is_bf16, is_compiled, weight_decay=0.1, betas=(0.9, 0.95)):
        self.model, self.is_bf16 = model, is_bf16
        self.loss = torch.compile(model) if is_compiled else model
        self.optimiser = torch.optim.AdamW(
            model.parameters(), lr=lr, betas=betas, eps=1e-8, weight_decay=weight_decay, fused=True
        )

    def backward(self, tokens, targets):
        """Forward and backward; the gradients stay in the parameters."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.is_bf16):
            loss = self.loss(tokens, targets)
        loss.backward()
        return loss

    def step(self, tokens, targets):
        loss = self.backward(tokens, targets)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return loss

    def set_lr(self, lr):
        for group in self.optimiser.param_groups:
            group["lr"] = lr


def random_batch(ids, shape, generator):
    """Windows of `ids` at random places: tokens and the tokens after them, each (B, T)."""
    starts = torch.randint(len(ids) - shape.seq_len, (shape.n_seqs, 1), generator=generator)
    windows = ids[starts + torch.arange(shape.seq_len + 1)]
    return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()


def set_up(threads, seed):
    """The process's settings: as many threads as ours, and no slow denormal numbers."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)
