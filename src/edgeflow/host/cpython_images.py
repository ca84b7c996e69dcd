"""Images in CPython, by Pillow. See host/port.py for the contract."""

from __future__ import annotations

import io

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import Picture


async def decode_image(data: memoryview) -> Picture:
    # Imported here because nothing else needs it, and it takes longer than the rest of edgeflow together.
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            return Picture(image.width, image.height, memoryview(image.convert('RGBA').tobytes()))
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise EdgeflowError('run-failed', f'the image cannot be decoded: {error}', {}) from None
