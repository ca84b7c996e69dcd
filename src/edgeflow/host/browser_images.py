"""Images in browsers, by the browser's own decoder. JS only. See host/port.py for the contract."""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import Bytes, Picture


def _fail(code: str, message: str) -> EdgeflowError:
    return EdgeflowError(code, message)


def _picture(width: int, height: int, pixels: Bytes) -> Picture:
    return Picture(width, height, pixels)


async def decode_image(data: Bytes) -> Picture:
    __pragma__('js', r'''
    if (typeof createImageBitmap !== 'function' || typeof OffscreenCanvas !== 'function') throw _fail('platform', 'images are decoded in browsers only');
    let bitmap;
    try {
      bitmap = await createImageBitmap(new Blob([data.slice()]), { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
    } catch (error) {
      throw _fail('run-failed', `the image cannot be decoded: ${error.message}`);
    }
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    return _picture(width, height, new Uint8Array(context.getImageData(0, 0, width, height).data.buffer));
    ''')
