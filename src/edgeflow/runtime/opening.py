"""From the files of an ONNX model to an executable, in the thread that will run it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from edgeflow.backends.choose import load_executable
from edgeflow.backends.generation import GeneratingExecutable
from edgeflow.backends.rests import Rests
from edgeflow.backends.wasm.executable import fetch_operators
from edgeflow.backends.wasm.kernels import Image, file_size
from edgeflow.errors import EdgeflowError
from edgeflow.host.port import Bytes
from edgeflow.ir.graph import Graph, ValueInfo
from edgeflow.ir.verify import verify, verify_operators
from edgeflow.onnx.pieces import Pieces, skeleton
from edgeflow.onnx.reader import external_files, read_model
from edgeflow.passes.inline_constant_if import deciding_inputs

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
        """As receive(), of what it can read for itself at a place (host.port.read_place); whether it could."""

    async def external_files(self) -> list[str]:
        """The external data files that the .onnx file, which is here, names; those that are here may be left out."""


class ModelFiles:
    """The bytes of an .onnx file and of its external data files, in pieces."""

    def __init__(self) -> None:
        self._chunks: dict[str, dict[int, Bytes]] = {}
        self._skeleton: Bytes | None = None
        # As read_graph() gives it: estimating what a model costs reads it before loading does.
        self.graph: Graph | None = None
        self.image: Image | None = None
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
        self._skeleton = None
        self.graph = None

    async def external_files(self) -> list[str]:
        """The external data files that the .onnx file, which is here, names and that are not here. 'invalid-model'."""
        try:
            await read_graph(self)
        except EdgeflowError:
            return external_files(self.skeleton())
        return []

    def skeleton(self) -> Bytes:
        """The .onnx file as pieces.skeleton() gives it, once it is here."""
        if self._skeleton is None:
            self._skeleton = skeleton(self.pieces(MODEL))
        return self._skeleton

    def pieces(self, location: str) -> Pieces:
        """A file that is here; 'file-missing' if it is not."""
        image = self.image
        if image is not None and location in image.files:
            file = image.files[location]
            return Pieces({0: image.instance.view(file.address, file_size(file))}, image.instance, file.address)
        chunks = self._chunks.get(location)
        if chunks is None:
            raise EdgeflowError('file-missing', f"the model's data file '{location}' is missing", {'file': location})
        return Pieces(chunks)

    def clear(self) -> None:
        """Let go of everything."""
        self._chunks = {}
        self._skeleton = None
        self.graph = None


@dataclass(frozen=True)
class Opened:
    """What a model declares, and what runs it."""

    inputs: list[ValueInfo]
    outputs: list[ValueInfo]
    executable: GeneratingExecutable


async def read_graph(files: ModelFiles) -> Graph:
    """The graph of the files, its functions expanded; the weights stay where they are. 'invalid-model', 'file-missing'."""
    if files.graph is not None:
        return files.graph
    model = files.pieces(MODEL)

    def find(location: str) -> Bytes | Pieces:
        found = model if location == MODEL else files.pieces(location)
        return found if len(found.parts) > 1 or found.memory is not None else found.parts[0]

    read = read_model(files.skeleton(), find)
    if len(read.functions) > 0:
        from edgeflow.onnx.functions import expand_functions
        expand_functions(read, files.skeleton(), find)
    files.graph = read.graph
    return read.graph


async def open_files(
    files: ModelFiles, device: str, cancelled: Callable[[], bool], shares: int = 1,
) -> Opened:
    """Read an ONNX file and make it ready to run on `device`, one of choose.candidates()', divided among `shares` threads where they help.

    The files are used up. cancelled: asked between the steps, where it lets go of the thread, whether the caller has lost interest.
    EdgeflowError: 'invalid-model', 'invalid-graph', 'unsupported-op', 'file-missing', 'out-of-memory', 'platform', 'aborted'.
    """
    rests = Rests(cancelled, 'loading the model')
    graph = await read_graph(files)
    await rests.rest()
    verify(graph)
    await fetch_operators(graph)
    verify_operators(graph)
    files.clear()
    await rests.rest()
    executable = await load_executable(graph, device, rests, shares, files.image)
    return Opened(declared_inputs(graph), graph.outputs, executable)


def declared_inputs(graph: Graph) -> list[ValueInfo]:
    """The inputs as a caller has to give them.

    Exporters that merge two decoders into one reuse a symbol for sizes that differ: the past's keys are empty in the branch
    that computes them, the mask covers past tokens too. There only the batch and the graph's own rules are left to check.
    """
    if len(deciding_inputs(graph)) == 0:
        return graph.inputs
    inputs: list[ValueInfo] = []
    for info in graph.inputs:
        dims = info.shape
        if dims is not None:
            dims = [dims[i] if i == 0 or not isinstance(dims[i], str) else '' for i in range(len(dims))]
        inputs.append(ValueInfo(info.name, info.dtype, dims))
    return inputs
