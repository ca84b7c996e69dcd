"""Lowerings of the com.microsoft operators of text encoders, but for attention and quantised products."""

from __future__ import annotations

from edgeflow.backends.wasm.lower_dense import ACTIVATION_IDS, activation_steps, given, require_float, skip_norm_steps
from edgeflow.ir.attributes import number_of
from edgeflow.ir.dtype import DTYPE_CODES
from edgeflow.ir.graph import Node
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.values import Value, Word, at

QUICK_GELU_ALPHA = 1.702
INT64 = 7
INT32_BYTES = 4
EQUAL = 15
REDUCE_SUM = 0


def lower_embed_layer_norm(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """EmbedLayerNormalization: inputs ids, segment ids, three tables (word, position, segment), gamma, beta, mask, position ids."""
    ids = given(b, inputs)
    word_table = require_float(b, given(b, inputs, 2))
    output = given(b, outputs)
    lengths = at(outputs, 1)
    mask = at(inputs, 7)
    if lengths is not None and mask is not None:
        count_ones(b, mask, lengths)
    elif lengths is not None:
        b.step('copy_nd', [INT32_BYTES, b.table([0]), b.pointer(lengths), 1, lengths.count(), 0, 1])
    n = word_table.shape[1]
    positions = at(inputs, 8)
    words: list[Word] = table_words(b, ids, word_table) + table_words(b, positions, at(inputs, 3)) + table_words(b, at(inputs, 1), at(inputs, 4))
    words.extend([b.pointer(at(inputs, 5)), b.pointer(at(inputs, 6)), b.pointer(output), b.pointer(at(outputs, 2)), ids.count(), n,
                  ids.shape[1] if positions is None else positions.count(), b.real(number_of(node, 'epsilon', 1e-12))])
    b.step('embed_norm_f32', words)


def count_ones(b: StepBuilder, mask: Value, lengths: Value) -> None:
    """lengths[b] = how many elements of row b of the mask are 1."""
    kind = DTYPE_CODES[mask.dtype]
    rows = mask.shape[0]
    columns = mask.shape[1]
    ones = b.scratch(mask.count())
    numbers = b.scratch(INT32_BYTES * mask.count())
    b.step('binary', [EQUAL, kind, DTYPE_CODES['int32'], DTYPE_CODES['bool'], b.pointer(mask), b.table([1]), b.pointer(ones),
                      1, mask.count(), 1, 0])
    b.step('cast', [DTYPE_CODES['bool'], DTYPE_CODES['int32'], b.pointer(ones), b.pointer(numbers), mask.count()])
    b.step('reduce', [REDUCE_SUM, DTYPE_CODES['int32'], b.pointer(numbers), b.pointer(lengths), 1, 1, rows, columns, columns, 1])


def table_words(b: StepBuilder, ids: Value | None, table: Value | None) -> list[Word]:
    """ids, their type, table, rows. Without a table its ids count for nothing."""
    if table is None:
        return [0, INT64, 0, 0]
    return [b.pointer(ids), INT64 if ids is None else DTYPE_CODES[ids.dtype], b.pointer(table), table.shape[0]]


def lower_skip_layer_norm(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """SkipLayerNormalization: X, skip, gamma, beta, bias -> Y, mean, inverse deviation, sum."""
    check_stash(b, outputs)
    skip_norm_steps(b, 'layer_norm_f32', given(b, inputs), given(b, inputs, 1), at(inputs, 2), at(inputs, 3), at(inputs, 4),
                    given(b, outputs), at(outputs, 3), number_of(node, 'epsilon', 1e-12))


def lower_skip_rms_norm(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """SkipSimplifiedLayerNormalization: X, skip, gamma, bias -> Y, mean, inverse deviation, sum."""
    check_stash(b, outputs)
    skip_norm_steps(b, 'rms_norm_f32', given(b, inputs), given(b, inputs, 1), at(inputs, 2), None, at(inputs, 3),
                    given(b, outputs), at(outputs, 3), number_of(node, 'epsilon', 1e-12))


def check_stash(b: StepBuilder, outputs: list[Value | None]) -> None:
    """The outputs that only training needs are not computed."""
    if at(outputs, 1) is not None or at(outputs, 2) is not None:
        raise b.unsupported('its outputs for training (mean, inverse deviation) are not given')


def lower_bias_gelu(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    activation_steps(b, ACTIVATION_IDS['gelu'], given(b, inputs), at(inputs, 1), given(b, outputs))


def lower_fast_gelu(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    activation_steps(b, ACTIVATION_IDS['gelu_tanh'], given(b, inputs), at(inputs, 1), given(b, outputs))


def lower_quick_gelu(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    alpha = number_of(node, 'alpha', QUICK_GELU_ALPHA)
    if alpha != 1 and abs(alpha - QUICK_GELU_ALPHA) > 1e-6:
        b.lowering('Swish')(b, node, inputs, outputs)
    else:
        activation_steps(b, ACTIVATION_IDS['silu' if alpha == 1 else 'quick_gelu'], given(b, inputs), None, given(b, outputs))


# Without 'com.microsoft:', which lowerings.py puts before them.
CONTRIB_LOWERINGS: dict[str, Lowering] = {
    'EmbedLayerNormalization': lower_embed_layer_norm,
    'SkipLayerNormalization': lower_skip_layer_norm,
    'SkipSimplifiedLayerNormalization': lower_skip_rms_norm,
    'BiasGelu': lower_bias_gelu,
    'Gelu': lower_bias_gelu,
    'FastGelu': lower_fast_gelu,
    'QuickGelu': lower_quick_gelu,
}
