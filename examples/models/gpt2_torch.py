"""GPT-2 in PyTorch with the names of its checkpoints, and how it is trained on a text of a few hundred kilobytes.

The text is so small that the loss on a part held out is least long before sentences become readable. The weights kept are the last
ones, which know much of the text by heart; the record has the losses of both parts along the way.
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
class Phase:
    """A part of the training. rate: the highest learning rate, reached after `warmup` steps, then down along a cosine.

    openings: the share of windows that begin where a section begins, as prompts do; the others begin anywhere.
    """

    steps: int = 4000
    batch: int = 32
    window: int = 512
    openings: float = 0.0
    rate: float = 1e-3
    warmup: int = 100
    decay: float = 1.0
    dropout: float = 0.3
    seed: int = 5
    look_every: int = 50


# Windows from anywhere nearly always have a long context. Without the second phase the model knows its text, but not how it begins.
PHASES = [Phase(), Phase(steps=180, batch=16, window=256, openings=0.75, rate=4e-4, warmup=20, dropout=0.1, look_every=40)]


class Linear(nn.Module):
    """x @ weight + bias, the weight stored as [in, out] as GPT-2 does."""

    def __init__(self, inner: int, outer: int, deviation: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inner, outer) * deviation)
        self.bias = nn.Parameter(torch.zeros(outer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight + self.bias


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.drop = shape.n_head, nn.Dropout()
        self.c_attn = Linear(shape.n_embd, 3 * shape.n_embd, 0.02)
        self.c_proj = Linear(shape.n_embd, shape.n_embd, 0.02 / math.sqrt(2 * shape.n_layer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in self.c_attn(x).split(width, dim=2))
        context = F.scaled_dot_product_attention(q, k, v, dropout_p=self.drop.p if self.training else 0.0, is_causal=True)
        return self.c_proj(context.transpose(1, 2).reshape(batch, length, width))


class Mlp(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.c_fc = Linear(shape.n_embd, 4 * shape.n_embd, 0.02)
        self.c_proj = Linear(4 * shape.n_embd, shape.n_embd, 0.02 / math.sqrt(2 * shape.n_layer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c_proj(F.gelu(self.c_fc(x), approximate='tanh'))


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(shape.n_embd), nn.LayerNorm(shape.n_embd)
        self.attn, self.mlp, self.drop = Attention(shape), Mlp(shape), nn.Dropout()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.drop(self.attn(self.ln_1(x)))
        return x + self.drop(self.mlp(self.ln_2(x)))


class Gpt2(nn.Module):
    """Token ids [batch, length] to logits [batch, length, vocabulary]; the last product shares the embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(shape.vocab_size, shape.n_embd), nn.Embedding(shape.n_positions, shape.n_embd)
        self.h = nn.ModuleList(Block(shape) for _ in range(shape.n_layer))
        self.ln_f, self.drop = nn.LayerNorm(shape.n_embd), nn.Dropout()
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


def fit(model: Gpt2, phase: Phase, train: np.ndarray, held_out: np.ndarray, device: str) -> dict[str, object]:
    """Train the model, and give a record of it. Sections begin with token 0."""
    torch.manual_seed(phase.seed)
    choose = np.random.default_rng(phase.seed)
    ids, unseen = (torch.from_numpy(part.astype(np.int64)).to(device) for part in (train, held_out))
    model.to(device).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = phase.dropout
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{'params': matrices, 'weight_decay': phase.decay}, {'params': others, 'weight_decay': 0.0}], lr=phase.rate, betas=(0.9, 0.98))
    span = torch.arange(phase.window + 1, device=device)
    last = len(ids) - phase.window - 1
    openings = np.flatnonzero(train[:last + 1] == 0)
    curve: list[dict[str, float]] = []
    started = time.perf_counter()
    for step in range(1, phase.steps + 1):
        share = step / phase.warmup if step < phase.warmup else 0.5 + 0.5 * math.cos(math.pi * step / phase.steps)
        for group in optimizer.param_groups:
            group['lr'] = phase.rate * share
        starts = choose.integers(0, last + 1, phase.batch)
        if phase.openings > 0:
            starts = np.where(choose.random(phase.batch) < phase.openings, choose.choice(openings, phase.batch), starts)
        rows = ids[torch.from_numpy(starts).to(device)[:, None] + span]
        loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % phase.look_every == 0 or step == phase.steps:
            curve.append({'step': step, 'train': round(loss.item(), 4), 'held_out': round(mean_loss(model, unseen, model.wpe.num_embeddings), 4)})
    return {
        **asdict(phase), 'device': torch.cuda.get_device_name() if device == 'cuda' else 'CPU', 'torch': torch.__version__,
        'seconds': round(time.perf_counter() - started, 1), 'least_held_out': min(curve, key=lambda entry: entry['held_out']), 'curve': curve,
    }
