"""ImageDecoder, by the platform's own decoder."""

from __future__ import annotations

from edgeflow.backends.wasm.more.values import Call, Datum, InterpretFlow
from edgeflow.host.images import decode_image
from edgeflow.host.platform import array_view
from edgeflow.ir.attributes import text_of
from edgeflow.plan.values import Value

# The grey of a colour (ITU-R 601-2, as Pillow computes it), in 65536ths.
GREY = [19595.0, 38470.0, 7471.0]
UINT8 = 2
INT32 = 6


async def _decode(c: Call) -> list[Datum | None]:
    """[height, width, channels], uint8."""
    source = c.value(0)
    order = text_of(c.node, 'pixel_format', 'RGB')
    if source.dtype != 'uint8' or len(source.shape) != 1 or order not in ['RGB', 'BGR', 'Grayscale']:
        raise c.invalid('the bytes of an image and a pixel_format RGB, BGR or Grayscale', f'{source.dtype} {source.shape}, {order}')
    picture = await decode_image(c.t.contents(source))
    pixels = c.t.raw('uint8', [picture.height, picture.width, 4], array_view('uint8', picture.pixels))
    if order == 'BGR':
        return [_channels(c, pixels, 2, -5, -1)]
    colours = _channels(c, pixels, 0, 3, 1)
    if order == 'RGB':
        return [colours]
    parts = c.t.apply('Mul', [c.t.apply('Cast', [colours], {'to': INT32}), c.t.make('int32', [3], GREY)])
    total = c.t.apply('Add', [c.t.apply('ReduceSum', [parts, c.t.make('int64', [1], [2])]), c.t.make('int32', [], [32768])])
    return [c.t.apply('Cast', [c.t.apply('Div', [total, c.t.make('int32', [], [65536])])], {'to': UINT8})]


def _channels(c: Call, pixels: Value, start: int, end: int, step: int) -> Value:
    ends = [c.t.make('int64', [1], [number]) for number in [start, end, 2, step]]
    return c.t.apply('Slice', [pixels, ends[0], ends[1], ends[2], ends[3]])


IMAGE_RULES: dict[str, InterpretFlow] = {'ImageDecoder': _decode}
