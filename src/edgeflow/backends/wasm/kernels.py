"""The compiled kernels: fetched and compiled once for a page, which hands them to its workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edgeflow.backends.wasm.memory import align, first_address
from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import (
    compile_wasm, copy_bytes, join_bytes, load_asset, new_deferred, open_place, start_task, start_wasm, wasm_features,
)
from edgeflow.host.port import Bytes, Deferred, StoredPiece, WasmInstance, WasmModule
from edgeflow.onnx.pieces import joined_size


@dataclass
class Extent:
    """A file in an instance's memory: there is room for `capacity` bytes from `address`. sizes: of its pieces, by where they begin."""

    address: int = 0
    capacity: int = 0
    sizes: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LatePiece:
    """A piece of the .onnx file that is read when its bytes are wanted."""

    start: int
    size: int
    stored: StoredPiece


@dataclass(frozen=True)
class Image:
    """The files of a model in the memory of a fresh instance: in `size` bytes from `address`, which is where its heap begins.

    It is the ir.graph.Memory of large tensors.
    """

    instance: WasmInstance
    address: int
    size: int
    files: dict[str, Extent]
    late: list[LatePiece]

    def view(self, address: int, size: int) -> Bytes:
        """The instance's memory."""
        self.complete(address, size)
        return self.instance.view(address, size)

    def complete(self, address: int, size: int, wanted: bool = True) -> None:
        """Read what is late of these bytes, if they are `wanted`. 'file-missing' if that is not possible any more."""
        read = True
        for i in range(len(self.late) - 1, -1, -1):
            piece = self.late[i]
            start = self.files[''].address + piece.start
            if start < address + size and address < start + piece.size:
                self.late.pop(i)
                read = fill_from(piece.stored, self.instance.view(start, piece.size if wanted else 0)) and read
        if not read:
            raise EdgeflowError('file-missing', 'stored bytes of the model cannot be read any more', {})


def fill_from(stored: StoredPiece, memory: Bytes) -> bool:
    """Read a stored piece and close it; whether `memory` has its bytes."""
    try:
        return stored.read(memory) == len(memory)
    except Exception:
        return False
    finally:
        stored.close()


@dataclass(frozen=True)
class _Piece:
    location: str
    start: int
    data: Bytes
    total: int | None


# In a worker: what its page gave it.
_given: list[WasmModule] = []


async def kernel_module(more: bool = False) -> WasmModule:
    """The best binary that the platform can run, compiled. more: the second one, of images and rare operators. 'platform' where WebAssembly lacks SIMD."""
    if len(_given) > 0 and not more:
        return _given[0]
    features = wasm_features()
    if not features.simd:
        raise EdgeflowError('platform', 'edgeflow needs WebAssembly with SIMD; this platform lacks it', {})
    name = ('more-' if more else '') + ('relaxed' if features.relaxed_simd else 'simd')
    return await compile_wasm(await load_asset(f'edgeflow-{name}.wasm', env.wasm_location))


def use_kernels(module: WasmModule) -> None:
    """Take a module that another thread compiled, once and for all."""
    if len(_given) == 0:
        _given.append(module)


async def start_instance(memory: object | None = None) -> WasmInstance:
    """A fresh instance of the kernels, with memory of its own, or on the shared memory of another instance."""
    return await start_wasm(await kernel_module(), memory)


async def add_more(instance: WasmInstance) -> WasmInstance:
    """The instance, with the kernels of images and rare operators."""
    await instance.add(await kernel_module(True))
    return instance


# Most pieces that are late.
MOST_LATE = 4

# Most bytes of a file's head, which has the nodes of the graph, as ONNX's libraries write it.
HEAD = 262144


class Preparation:
    """An instance into whose memory a model's files come as they arrive: there its weights are packed, and many stay where they are.

    A file has the room that its announced size needs. One that turns out larger goes on where the memory ends, moved there if another
    lies behind it.
    """

    def __init__(self, spent: Callable[[Bytes], None]) -> None:
        """spent: is given the memory of what was copied."""
        self._spent: Callable[[Bytes], None] = spent
        self._instance: WasmInstance | None = None
        self._starting: Deferred | None = None
        self._waiting: list[_Piece] = []
        self._files: dict[str, Extent] = {}
        self._end: int = 0
        self._failure: Exception | None = None
        self._late: list[LatePiece] = []
        # Where in the .onnx file a large tensor lies, from and to: nobody reads it before there is a graph.
        self.table: list[int] = []
        # Are given a copy of the first bytes of the .onnx file, once they are here.
        self.on_head: list[Callable[[Bytes], None]] = []

    def _tell_head(self, location: str, start: int, data: Bytes) -> None:
        if len(self.on_head) > 0 and start == 0 and location == '':
            head = join_bytes([data[:HEAD]])
            for callback in self.on_head:
                callback(head)

    def _file(self, location: str) -> Extent:
        if location not in self._files:
            self._files[location] = Extent()
        return self._files[location]

    async def read_stored(self, location: str, start: int, size: int, place: object, total: int | None) -> bool:
        """As receive(), of a piece that can be read where it is stored; whether it was."""
        stored = await open_place(place, size)
        if stored is None:
            return False
        file = self._file(location)
        try:
            image = await self.image()
            self._make_room(image.instance, file, max(start + size, 0 if total is None else total))
        except EdgeflowError as error:
            self._failure = error
            stored.close()
            return True
        table = self.table
        if location == '' and len(table) > 0 and table[0] <= start and start + size <= table[1] and len(self._late) < MOST_LATE:
            file.sizes[start] = size
            self._late.append(LatePiece(start, size, stored))
            return True
        if fill_from(stored, image.instance.view(file.address + start, size)):
            file.sizes[start] = size
            self._tell_head(location, start, image.instance.view(file.address, size))
            return True
        return False

    def leave(self) -> None:
        """What is late is not wanted any more."""
        while len(self._late) > 0:
            self._late.pop().stored.close()

    def receive(self, location: str, start: int, data: Bytes, total: int | None) -> None:
        """A piece of a file, whose memory is given up; in any order. total: the file's size as it was announced, if it was."""
        self._file(location).sizes[start] = len(data)
        self._tell_head(location, start, data)
        piece = _Piece(location, start, data, total)
        if self._instance is not None:
            self._store(self._instance, piece)
            return
        self._waiting.append(piece)
        if self._starting is None and len(_given) > 0:
            self._starting = new_deferred()
            start_task(self._start)

    def reset(self, location: str) -> None:
        """What came of this file was of another version."""
        waiting = self._waiting
        self._waiting = []
        if location == '':
            self.leave()
            self.table = []
        for piece in waiting:
            if piece.location == location:
                self._spent(piece.data)
            else:
                self._waiting.append(piece)
        if location in self._files:
            self._files[location].sizes = {}

    async def image(self) -> Image:
        """The files, as far as they are here. EdgeflowErrors: those of start_instance(), and 'out-of-memory'."""
        if self._starting is None:
            self._starting = new_deferred()
            await self._start()
        else:
            await self._starting.result()
        instance = self._instance
        if self._failure is not None or instance is None:
            raise self._failure if self._failure is not None else EdgeflowError('internal', 'no instance was started', {})
        first = first_address(instance)
        return Image(instance, first, self._end - first, self._files, self._late)

    async def _start(self) -> None:
        try:
            instance = await start_instance()
            self._instance = instance
            self._end = first_address(instance)
            waiting = self._waiting
            self._waiting = []
            for piece in waiting:
                self._store(instance, piece)
        except EdgeflowError as error:
            self._failure = error
        if self._starting is not None:
            self._starting.resolve(None)

    def _store(self, instance: WasmInstance, piece: _Piece) -> None:
        data = piece.data
        if self._failure is None:
            try:
                file = self._files[piece.location]
                self._make_room(instance, file, max(piece.start + len(data), 0 if piece.total is None else piece.total))
                copy_bytes(instance.view(file.address + piece.start, len(data)), 0, data)
            except EdgeflowError as error:
                self._failure = error
        self._spent(data)

    def _make_room(self, instance: WasmInstance, file: Extent, size: int) -> None:
        if size <= file.capacity:
            return
        address = file.address
        if file.capacity == 0 or address + file.capacity < self._end:
            # Twice the room, so that one of unknown size does not move for each piece.
            size = max(size, 2 * file.capacity)
            address = align(self._end)
        instance.grow(address + size)
        if address != file.address and file.capacity > 0:
            copy_bytes(instance.view(address, file.capacity), 0, instance.view(file.address, file.capacity))
        file.address = address
        file.capacity = size
        self._end = address + size


def file_size(file: Extent) -> int:
    """Bytes of a file all of whose pieces are here; 'internal' if one is missing."""
    return joined_size(file.sizes)
