"""Lowerings of signal processing. Words: wasm/more/kernels_numeric.h."""

from __future__ import annotations

import math

from edgeflow.backends.wasm.lower_dense import given
from edgeflow.backends.wasm.lower_elementwise import dtype_code
from edgeflow.backends.wasm.more.compose import Composer
from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import copy_steps, item_size, row_major
from edgeflow.ir.attributes import int_of
from edgeflow.ir.dtype import MOST_LISTED, element_count
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.more.signal import dft_of, frames_of, scalar_of
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.values import Value, at

# Sums of cosines: a0 - a1 cos(t) + a2 cos(2 t), as numerators of a common denominator, which is last.
WINDOWS: dict[str, list[int]] = {'HannWindow': [1, 1, 0, 2], 'HammingWindow': [25, 21, 0, 46], 'BlackmanWindow': [42, 50, 8, 100]}


def lower_window(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """In double precision throughout; pi is the arc cosine of -1."""
    c = Composer(b)
    output = given(b, outputs)
    size = output.count()
    terms = WINDOWS[node.op]
    turn = c.op('Mul', [c.op('Acos', [c.whole(-1, 'float64')]), c.whole(2, 'float64')])
    period = size if int_of(node, 'periodic', 1) == 1 else max(1, size - 1)
    places = c.cast(c.op('Range', [c.whole(0), c.whole(size), c.whole(1)]), 'float64')
    angle = c.op('Div', [c.op('Mul', [places, turn]), c.whole(period, 'float64')])
    total = c.op('Sub', [c.whole(terms[0], 'float64'), c.op('Mul', [c.op('Cos', [angle]), c.whole(terms[1], 'float64')])])
    if terms[2] != 0:
        double = c.op('Cos', [c.op('Add', [angle, angle])])
        total = c.op('Add', [total, c.op('Mul', [double, c.whole(terms[2], 'float64')])])
    c.give(c.cast(c.op('Div', [total, c.whole(terms[3], 'float64')]), output.dtype), output)


def _transform(b: StepBuilder, source: Value, output: Value, axis: int, length: int, flags: int) -> None:
    """The step along `axis` of both, whose last axis are the parts."""
    last = len(source.shape) - 1
    b.step('dft', [dtype_code(source), b.pointer(source), b.pointer(output), element_count(source.shape[:axis]), source.shape[axis],
                   element_count(source.shape[axis + 1:last]), source.shape[last], length, output.shape[axis], output.shape[last], flags,
                   b.pointer(b.scratch(64 * length))])


def lower_dft(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    transform = dft_of(context_of(b, node, inputs))
    inverse = int_of(node, 'inverse')
    _transform(b, given(b, inputs), given(b, outputs), transform.axis, transform.length, inverse + (2 if transform.parts == 1 else 0))


def lower_stft(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """Frames are copied out of the signal, weighted by the window, and transformed."""
    c = Composer(b)
    source = given(b, inputs)
    frames = frames_of(context_of(b, node, inputs))
    batch = source.shape[0]
    parts = source.shape[2]
    cut = c.value(source.dtype, [batch, frames[2], frames[1], parts])
    copy_steps(b, item_size(source), b.pointer(source), b.pointer(cut), cut.shape, [source.shape[1] * parts, frames[0] * parts, parts, 1],
               row_major(cut.shape))
    window = at(inputs, 2)
    if window is not None:
        cut = c.op('Mul', [cut, c.reshaped(window, [frames[1], 1])])
    _transform(b, cut, given(b, outputs), 2, frames[1], 0)


def mel_weights(mels: int, length: int, rate: float, lower: float, upper: float) -> list[float]:
    """[length // 2 + 1, mels] triangles that are equally wide in mel, as ONNX's MelWeightMatrix defines them."""
    low = 2595 * math.log10(1 + lower / 700)
    step = (2595 * math.log10(1 + upper / 700) - low) / (mels + 2)
    places = [math.floor((length + 1) * (700 * (10 ** ((low + i * step) / 2595) - 1)) / rate) for i in range(mels + 2)]
    weights: list[float] = [0.0] * ((length // 2 + 1) * mels)
    for i in range(mels):
        left = places[i]
        center = places[i + 1]
        right = places[i + 2]
        for j in range(left, max(center + 1, right)):
            if j < 0 or j > length // 2:
                continue
            rising = (j - left) / max(1, center - left)
            weights[j * mels + i] = 1.0 if j == center else rising if j < center else (right - j) / (right - center)
    return weights


def lower_mel(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    output = given(b, outputs)
    context = context_of(b, node, inputs)
    numbers = [scalar_of(context, i) for i in range(5)]
    if output.count() > MOST_LISTED:
        raise b.unsupported(f'expected at most {MOST_LISTED} weights; got {output.count()}')
    weights = mel_weights(int(numbers[0]), int(numbers[1]), numbers[2], numbers[3], numbers[4])
    c.give(c.cast(c.reals(weights, output.shape), output.dtype), output)


MORE_SIGNAL_LOWERINGS: dict[str, Lowering] = {
    'HannWindow': lower_window,
    'HammingWindow': lower_window,
    'BlackmanWindow': lower_window,
    'DFT': lower_dft,
    'STFT': lower_stft,
    'MelWeightMatrix': lower_mel,
}
