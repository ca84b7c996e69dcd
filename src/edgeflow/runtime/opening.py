"""The files of an ONNX model on their way to the thread that will run it (loading.py), and what it is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from edgeflow.backends.generation import GeneratingExecutable
from edgeflow.backends.wasm.kernels import Image, file_size
from edgeflow.errors import EdgeflowError
from edgeflow.host.port import Bytes
from edgeflow.ir.graph import Graph, ValueInfo
from edgeflow.onnx.graphs import Head
from edgeflow.onnx.pieces import Pieces

# The .onnx file among the files of a model; the others have the locations that it gives.
MODEL = ''


class Receiver(Protocol):
    """What takes a model's files as they come, piece by piece in any order, and may move their memory.

    on_invalid: is awaited if they turn out to be no model.
    """

    on_invalid: Callable[[], Awaitable[None]] | None

    def receive(self, location: str, start: int, data: Bytes, total: int | None = None) -> None:
        """total: the size of the file, as far as it is known."""

    def reset(self, location: str) -> None:
        """What came of this file was of another version."""

    async def room(self) -> None:
        """Wait until most of what was received has come to where it will be used."""

    async def read_stored(self, location: str, start: int, size: int, place: object, total: int | None) -> bool:
        """As receive(), of what it can read for itself at a place (host.port.open_place); whether it could."""

    async def external_files(self) -> list[str]:
        """The external data files that the .onnx file, which is here, names; those that are here may be left out."""


class ModelFiles:
    """The bytes of an .onnx file and of its external data files, in pieces."""

    def __init__(self) -> None:
        self._chunks: dict[str, dict[int, Bytes]] = {}
        # As loading.skeleton_of() gives it.
        self.skeleton: Bytes | None = None
        # As loading.read_graph() gives it: estimating what a model costs reads it before loading does.
        self.graph: Graph | None = None
        self.image: Image | None = None
        # What was read of the .onnx file before all of it came.
        self.head: Head | None = None
        self.on_invalid: Callable[[], Awaitable[None]] | None = None
        self.size: int = 0

    def receive(self, location: str, start: int, data: Bytes, total: int | None = None) -> None:
        """A piece of a file. One that comes alone stays the caller's; the memory of several is freed as the model is loaded."""
        if location not in self._chunks:
            self._chunks[location] = {}
        self._chunks[location][start] = data
        self.size += len(data)

    async def room(self) -> None:
        """There always is."""

    async def read_stored(self, location: str, start: int, size: int, place: object, total: int | None) -> bool:
        """This thread, a page's own, cannot."""
        return False

    def reset(self, location: str) -> None:
        """Forget a file."""
        self._chunks.pop(location, None)
        self.skeleton = None
        self.graph = None

    async def external_files(self) -> list[str]:
        """The external data files that the .onnx file, which is here, names and that are not here. 'invalid-model'."""
        from edgeflow.runtime.loading import missing_files
        return await missing_files(self)

    def pieces(self, location: str) -> Pieces:
        """A file that is here; 'file-missing' if it is not."""
        image = self.image
        if image is not None and location in image.files:
            file = image.files[location]
            return Pieces({0: image.instance.view(file.address, file_size(file))}, image, file.address)
        chunks = self._chunks.get(location)
        if chunks is None:
            raise EdgeflowError('file-missing', f"the model's data file '{location}' is missing", {'file': location})
        return Pieces(chunks)

    def clear(self) -> None:
        """Let go of everything."""
        self._chunks = {}
        self.skeleton = None
        self.graph = None


@dataclass(frozen=True)
class Opened:
    """What a model declares, and what runs it."""

    inputs: list[ValueInfo]
    outputs: list[ValueInfo]
    executable: GeneratingExecutable
