"""Rules of signal processing: windows, Fourier transforms, mel weights."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.ir.ops.infer import FLOATS, InferContext, OpSpec, Type, op


def scalar_of(c: InferContext, index: int) -> float:
    """The one element of an input, known while planning."""
    values = c.floats(index)
    if len(values) != 1:
        raise c.fail(f'input {index} to be one number', f'{values}')
    return values[0]


def _window(c: InferContext) -> list[Type]:
    return [Type(c.attr_dtype('output_datatype', 1), c.check_dims([int(scalar_of(c, 0))]))]


@dataclass(frozen=True)
class Transform:
    """A DFT along `axis`: length, elements along the axis of the output, and 1 (real) or 2 (complex) parts."""

    axis: int
    length: int
    output: int
    parts: int


def dft_of(c: InferContext) -> Transform:
    """What a DFT node of any opset does."""
    shape = c.shape(0)
    rank = c.check_rank(0, 2, -1)
    if c.opset < 20:
        axis = c.attr_int('axis', 1)
    else:
        axis = int(scalar_of(c, 2)) if c.has(2) else -2
    axis = c.axis(axis, rank)
    if axis == rank - 1 or shape[rank - 1] not in [1, 2]:
        raise c.fail('an axis before the last, which holds 1 or 2 parts', f'axis {axis}, shape {shape}')
    onesided = c.attr_int('onesided') == 1
    inverse = c.attr_int('inverse') == 1
    whole = 2 * (shape[axis] - 1) if inverse and onesided else shape[axis]
    length = int(scalar_of(c, 1)) if c.has(1) else whole
    if length < 1:
        raise c.fail('a length of 1 or more', f'{length}')
    return Transform(axis, length, length // 2 + 1 if onesided and not inverse else length, 1 if onesided and inverse else 2)


def _dft(c: InferContext) -> list[Type]:
    transform = dft_of(c)
    shape = c.shape(0)[:]
    shape[transform.axis] = transform.output
    shape[len(shape) - 1] = transform.parts
    return [Type(c.check_dtype(0, FLOATS), shape)]


def frames_of(c: InferContext) -> list[int]:
    """Step, length and number of the frames of an STFT."""
    shape = c.shape(0)
    c.check_rank(0, 3, 3)
    step = int(scalar_of(c, 1))
    length = shape[1]
    if c.has(3):
        length = int(scalar_of(c, 3))
    elif c.has(2):
        c.check_rank(2, 1, 1)
        length = c.shape(2)[0]
    if step < 1 or length < 1 or length > shape[1] or (c.has(2) and c.shape(2) != [length]):
        raise c.fail(f'a step of 1 or more and frames of 1 to {shape[1]}, as long as the window', f'{step} and {length}')
    return [step, length, 1 + (shape[1] - length) // step]


def _stft(c: InferContext) -> list[Type]:
    frames = frames_of(c)
    bins = frames[1] // 2 + 1 if c.attr_int('onesided', 1) == 1 else frames[1]
    return [Type(c.check_dtype(0, FLOATS), [c.shape(0)[0], frames[2], bins, 2])]


def _mel(c: InferContext) -> list[Type]:
    return [Type(c.attr_dtype('output_datatype', 1), c.check_dims([int(scalar_of(c, 1)) // 2 + 1, int(scalar_of(c, 0))]))]


MORE_SIGNAL_OPS: dict[str, OpSpec] = {
    'HannWindow': op(_window, 1, 1, 17),
    'HammingWindow': op(_window, 1, 1, 17),
    'BlackmanWindow': op(_window, 1, 1, 17),
    'DFT': op(_dft, 1, 3, 17),
    'STFT': op(_stft, 2, 4, 17),
    'MelWeightMatrix': op(_mel, 5, 5, 17),
}
