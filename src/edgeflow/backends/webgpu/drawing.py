"""Tokens drawn where the logits are: wgsl/draw.wgsl, and the words that tell it what temperature, top-k, top-p and min-p are asked for.

The kernel finds the token that text/sampling.py finds for the same random number, but where sums of probabilities come nearer to what they are
compared with than their rounding, some 1e-9 of the whole.
"""

from __future__ import annotations

import math
from typing import cast

from edgeflow.backends.contract import Feed
from edgeflow.backends.generation import Draw
from edgeflow.backends.wasm.decoder_feeds import capacity_for
from edgeflow.backends.webgpu.builder import GpuBuilder
from edgeflow.backends.webgpu.lower_axis import MOST_THREADS
from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS
from edgeflow.host.platform import array_of, float_bits
from edgeflow.ir.graph import Graph, Node, ValueInfo
from edgeflow.ir.ops.infer import InferContext, Type, op
from edgeflow.ir.ops.table import OPS
from edgeflow.passes.last_logits import DRAWN, LOGITS
from edgeflow.plan.values import Value

# Inputs: words for each row; tokens seen, each with how often it was made.
DRAWS = '#draws'
SEEN = '#seen'
TOKENS = 'input_ids'
DRAW = 'edgeflow:Draw'
WORDS = 14
WORD = 4294967296
# Places of a plan for tokens seen, at first.
FIRST_PLACES = 256
# Tokens of less than 2^-44 of the likeliest one's probability are left out.
RANGE = 44 * math.log(2)


def _drawn(c: InferContext) -> list[Type]:
    return [Type('int64', [c.shape(0)[0], 1])]


def install_drawing() -> None:
    """Let the operator be known."""
    OPS[DRAW] = op(_drawn, 4)
    GPU_LOWERINGS[DRAW] = lower_draw


def with_draws(graph: Graph) -> Graph:
    """The graph, which also draws tokens if it gives logits."""
    if LOGITS not in [info.name for info in graph.outputs]:
        return graph
    nodes = graph.nodes + [Node('Draw', 'edgeflow', DRAWN, [LOGITS, DRAWS, SEEN, TOKENS], [DRAWN])]
    return Graph(graph.name, graph.inputs + [ValueInfo(DRAWS, 'uint32', None), ValueInfo(SEEN, 'uint32', None)], graph.outputs + [ValueInfo(DRAWN, 'int64', None)], nodes,
                 graph.initializers, graph.opsets)


def draw_feeds(draws: list[Draw]) -> dict[str, Feed]:
    """DRAWS and SEEN for rows that are drawn so."""
    words: list[int] = []
    seen: list[int] = []
    rows = [list(draw.seen) if draw.repetition != 1 or draw.presence != 0 or draw.frequency != 0 else [] for draw in draws]
    places = capacity_for(max([len(row) for row in rows]), FIRST_PLACES)
    for i in range(len(draws)):
        words.extend(draw_words(draws[i]))
        for token in rows[i]:
            seen.extend([token, draws[i].counts.get(token, 0)])
        seen.extend([WORD - 1] * (2 * (places - len(rows[i]))))
    return {
        DRAWS: Feed('uint32', [len(draws), WORDS], array_of('uint32', words)),
        SEEN: Feed('uint32', [len(draws), places, 2], array_of('uint32', seen)),
    }


def factor_words(factor: float) -> list[int]:
    """A number as 32 bits and the power of 2 that they are times."""
    power = math.floor(math.log2(factor)) - 31
    return [min(math.floor(factor * 2.0 ** -power + 0.5), WORD - 1), power % WORD]


def draw_words(draw: Draw) -> list[int]:
    """Distances from the highest logit are times 2^shift; times `scale` they are powers of 2, of 25 + 32 bits behind the point.

    The words: shift; scale; how far from the highest logit a token counts, as a float; top-k and top-p, 0: all; the random number; how far from the highest
    logit min-p lets a token be, as a distance; by what logits of tokens seen below 0 are multiplied, in two words, and those above; what is subtracted
    once and each time, as floats; whether the token of the step before is to be added to those seen.
    """
    temperature = min(max(draw.temperature, 1e-28), 1e37)
    reach = RANGE * temperature
    shift = 31 - math.floor(math.log2(reach * 1.00001))
    scale = 2.0 ** (57 - shift) / (temperature * math.log(2))
    least = WORD - 2 if draw.min_p <= 0 else min(WORD - 2, math.floor(-math.log(draw.min_p) * temperature * 2.0 ** shift))
    share = 0 if draw.top_p >= 1 else min(max(math.floor(draw.top_p * WORD), 1), WORD - 1)
    return [
        shift % WORD, math.floor(scale + 0.5), float_bits(reach), min(draw.top_k, WORD - 1), share, math.floor(draw.unit * WORD), least,
    ] + factor_words(draw.repetition) + factor_words(1 / draw.repetition) + [float_bits(draw.presence) % WORD, float_bits(draw.frequency) % WORD, min(draw.later, 1)]


def threads_for(b: GpuBuilder, units: int) -> int:
    """How many work on a row of so many units."""
    threads = 64
    while not b.features.software and threads * 2 <= min(MOST_THREADS, b.features.invocations, units):
        threads = threads * 2
    return threads


def lower_draw(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    logits, asked, seen, ids = cast('list[Value]', inputs)
    token = cast(Value, outputs[0])
    n = logits.shape[-1]
    groups = [logits.shape[0], 1, 1]
    if seen.shape[1] > 0:
        changed = b.temporary('float32', logits.shape)
        b.dispatch('penalize', [logits, asked, seen, ids, changed], [n, seen.shape[1], ids.shape[1]], groups, {'GROUP': threads_for(b, n)})
        logits = changed
    width = 4 if n % 4 == 0 else 1
    words = [n // width, math.ceil(math.log2(n)), 0, 0]
    for i in range(64):
        # Words have signs.
        words.append(min(math.floor(2.0 ** (31 - i / 64) + 0.5), 2147483647))
    b.dispatch('draw', [logits, asked, token], words, groups, {'GROUP': threads_for(b, n // width)}, {
        '$WIDTH': f'{width}', '$S': 'f32' if width == 1 else 'vec4f'})
    return True
