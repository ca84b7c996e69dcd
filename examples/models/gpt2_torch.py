"""GPT-2 in PyTorch with the names of its checkpoints, and how it is trained on a text of a few hundred kilobytes.

The text is so small that the model learns it by heart in a minute. So it is held back (dropout, weight decay), and what is
kept are the weights at the least loss on the part held out, not the last ones.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """Sizes of the decoder, named as in a GPT2Config."""

    vocab_size: int
    n_positions: int = 512
    n_embd: int = 192
    n_layer: int = 6
    n_head: int = 6


@dataclass(frozen=True)
class Recipe:
    """How it is trained. rate: the highest learning rate, reached after `warmup` steps, then down along a cosine."""

    steps: int = 1200
    batch: int = 32
    window: int = 512
    rate: float = 1e-3
    warmup: int = 100
    decay: float = 3.0
    dropout: float = 0.3
    seed: int = 5
    look_every: int = 50


class Linear(nn.Module):
    """x @ weight + bias, the weight stored as [in, out] as GPT-2 does."""

    def __init__(self, inner: int, outer: int, deviation: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inner, outer) * deviation)
        self.bias = nn.Parameter(torch.zeros(outer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight + self.bias


class Attention(nn.Module):
    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = shape.n_head, dropout
        self.c_attn = Linear(shape.n_embd, 3 * shape.n_embd, 0.02)
        self.c_proj = Linear(shape.n_embd, shape.n_embd, 0.02 / math.sqrt(2 * shape.n_layer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in self.c_attn(x).split(width, dim=2))
        context = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0, is_causal=True)
        return self.c_proj(context.transpose(1, 2).reshape(batch, length, width))


class Mlp(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.c_fc = Linear(shape.n_embd, 4 * shape.n_embd, 0.02)
        self.c_proj = Linear(4 * shape.n_embd, shape.n_embd, 0.02 / math.sqrt(2 * shape.n_layer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c_proj(F.gelu(self.c_fc(x), approximate='tanh'))


class Block(nn.Module):
    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(shape.n_embd), nn.LayerNorm(shape.n_embd)
        self.attn, self.mlp, self.drop = Attention(shape, dropout), Mlp(shape), nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.drop(self.attn(self.ln_1(x)))
        return x + self.drop(self.mlp(self.ln_2(x)))


class Gpt2(nn.Module):
    """Token ids [batch, length] to logits [batch, length, vocabulary]; the last product shares the embedding."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(shape.vocab_size, shape.n_embd), nn.Embedding(shape.n_positions, shape.n_embd)
        self.h = nn.ModuleList(Block(shape, dropout) for _ in range(shape.n_layer))
        self.ln_f, self.drop = nn.LayerNorm(shape.n_embd), nn.Dropout(dropout)
        nn.init.normal_(self.wte.weight, std=0.02)
        nn.init.normal_(self.wpe.weight, std=0.01)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.drop(self.wte(ids) + self.wpe(torch.arange(ids.shape[1], device=ids.device)))
        for block in self.h:
            x = block(x)
        return self.ln_f(x) @ self.wte.weight.T


def mean_loss(model: Gpt2, ids: torch.Tensor, window: int) -> float:
    """The mean loss of all tokens but the first, in nats, read in windows that follow each other."""
    model.eval()
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(ids) - 1, window):
            given, wanted = ids[start:start + window][None], ids[start + 1:start + window + 1]
            total += F.cross_entropy(model(given)[0, :len(wanted)], wanted, reduction='sum').item()
    model.train()
    return total / (len(ids) - 1)


def fit(shape: Shape, recipe: Recipe, train: np.ndarray, held_out: np.ndarray, device: str) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """The weights at the least held-out loss, and a record of the training."""
    torch.manual_seed(recipe.seed)
    choose = np.random.default_rng(recipe.seed)
    ids, unseen = (torch.from_numpy(part.astype(np.int64)).to(device) for part in (train, held_out))
    model = Gpt2(shape, recipe.dropout).to(device)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{'params': matrices, 'weight_decay': recipe.decay}, {'params': others, 'weight_decay': 0.0}], lr=recipe.rate, betas=(0.9, 0.98))
    span = torch.arange(recipe.window + 1, device=device)
    best: dict[str, torch.Tensor] = {}
    curve: list[dict[str, float]] = []
    least, started = math.inf, time.perf_counter()
    for step in range(1, recipe.steps + 1):
        share = step / recipe.warmup if step < recipe.warmup else 0.5 + 0.5 * math.cos(math.pi * step / recipe.steps)
        for group in optimizer.param_groups:
            group['lr'] = recipe.rate * share
        starts = torch.from_numpy(choose.integers(0, len(ids) - recipe.window, recipe.batch)).to(device)
        rows = ids[starts[:, None] + span]
        loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % recipe.look_every == 0 or step == recipe.steps:
            unseen_loss = mean_loss(model, unseen, shape.n_positions)
            curve.append({'step': step, 'train': round(loss.item(), 4), 'held_out': round(unseen_loss, 4)})
            if unseen_loss < least:
                least, best = unseen_loss, {name: value.detach().clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best)
    record = {
        'shape': asdict(shape), 'recipe': asdict(recipe), 'parameters': sum(p.numel() for p in model.parameters()),
        'device': torch.cuda.get_device_name() if device == 'cuda' else 'CPU', 'torch': torch.__version__,
        'seconds': round(time.perf_counter() - started, 1), 'kept_step': min(curve, key=lambda entry: entry['held_out'])['step'],
        'train_loss': mean_loss(model, ids, shape.n_positions), 'held_out_loss': least, 'curve': curve,
    }
    return {name: value.cpu().contiguous() for name, value in best.items()}, record
