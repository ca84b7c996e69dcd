"""Windows over images, as kernels take them. Words: wasm/more/kernels_windows.h."""

from __future__ import annotations

from edgeflow.ir.dtype import element_count
from edgeflow.ir.ops.windows import Windows
from edgeflow.plan.builder import StepBuilder
from edgeflow.plan.values import Value, Word


def window_words(image: list[int], windows: Windows) -> list[Word]:
    """How kernels take windows over an image of these spatial dims."""
    if sum(windows.pads) == 0 and max(windows.kernel) == 1 and max(windows.strides) == 1:
        count = element_count(image)
        return [1, count, count, 1, 1, 1, 0]
    rank = len(image)
    words: list[Word] = [rank]
    for part in [image, windows.output, windows.kernel, windows.strides, windows.dilations, windows.pads[:rank]]:
        words.extend(part)
    return words


POOL_IDS: dict[str, int] = {'MaxPool': 0, 'AveragePool': 1, 'LpPool': 2}


def pool_step(b: StepBuilder, op: str, source: Value, output: Value, windows: Windows, padded: bool) -> None:
    """padded: padding counts for the average."""
    rank = len(windows.kernel)
    around = b.table(windows.pads[rank:]) if padded else 0
    words: list[Word] = [b.pointer(source), b.pointer(output), POOL_IDS[op], element_count(source.shape[:2]), around]
    b.step('pool_f32', words + window_words(source.shape[2:], windows))


def as_channels(b: StepBuilder, value: Value, rank: int) -> Value:
    """A view of numbers by channel that can be broadcast to [batch, channels, spatial ...]."""
    view = b.new_value(value.name, value.dtype, value.shape + [1] * (rank - 2))
    b.alias(view, value)
    return view
