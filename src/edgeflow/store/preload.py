"""Models before they are loaded: fetching their files ahead, whether they are here, what they are (preloading.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edgeflow.backends.choose import Device
from edgeflow.host.port import AbortSignal
from edgeflow.options import public
from edgeflow.store.progress import ProgressEvent

Dtype = Literal['auto', 'fp32', 'fp16', 'q8', 'int8', 'uint8', 'q4', 'q4f16', 'bnb4']


@dataclass(frozen=True)
class ModelFile:
    """A file of a model. name: in the model's folder. size: bytes, None if the server does not say. cached: whether all of it is here."""

    name: str
    url: str
    size: int | None
    cached: bool


@dataclass(frozen=True)
class Wish:
    """Which files of which model, by the options of pipeline()."""

    model: str
    device: object
    dtype: str
    revision: str
    subfolder: str
    file: str


@public
async def preload(
    model: str,
    *,
    priority: Literal['high', 'normal', 'low'] = 'normal',
    device: Device | list[Device] = 'auto',
    dtype: Dtype = 'auto',
    revision: str = 'main',
    subfolder: str = 'onnx',
    file: str = 'model',
    on_progress: Callable[[ProgressEvent], None] | None = None,
    signal: AbortSignal | None = None,
) -> None:
    """Bring the files of a model into the cache, for loadModel() or pipeline() to find; one that comes meanwhile shares the transfer.

    priority: models are preloaded one after the other, the highest first; 'low' keeps to one connection. The other options are
    those of pipeline(). EdgeflowError: 'file-missing', 'http', 'checksum', 'aborted', 'quota-exceeded', 'invalid-argument',
    'platform' (there is no cache).
    """
    from edgeflow.store.preloading import fetch_ahead
    await fetch_ahead(Wish(model, device, dtype, revision, subfolder, file), priority, on_progress, signal)


@public
async def is_cached(
    model: str,
    *,
    device: Device | list[Device] = 'auto',
    dtype: Dtype = 'auto',
    revision: str = 'main',
    subfolder: str = 'onnx',
    file: str = 'model',
) -> bool:
    """Whether the model can be loaded without the network: its weights, all of them, and its config.json are in the cache."""
    from edgeflow.store.preloading import is_here
    return await is_here(Wish(model, device, dtype, revision, subfolder, file))


@public
async def model_files(
    model: str,
    *,
    device: Device | list[Device] = 'auto',
    dtype: Dtype = 'auto',
    revision: str = 'main',
    subfolder: str = 'onnx',
    file: str = 'model',
    signal: AbortSignal | None = None,
) -> list[ModelFile]:
    """The files that loading the model fetches, with their sizes, asked of the server without fetching them. Files that it does not
    have are left out; so is external data that config.json does not announce."""
    from edgeflow.store.preloading import files_of
    return await files_of(Wish(model, device, dtype, revision, subfolder, file), signal)
