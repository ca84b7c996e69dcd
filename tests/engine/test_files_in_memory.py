"""A model's files that come into the engine's memory as they arrive: the same results as files at hand, and little more memory than weights."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from edgeflow.backends.contract import Feed
from edgeflow.backends.wasm.kernels import Preparation
from edgeflow.errors import EdgeflowError
from edgeflow.onnx.reader import read_head
from edgeflow.runtime.model import create_model
from edgeflow.runtime.loading import open_files
from edgeflow.runtime.opening import MODEL, ModelFiles, Opened
from tests.engine.minilm import folder

ROWS = np.random.default_rng(5).normal(size=(3, 200)).astype(np.float32)


def model_with_external_data(shared: bool) -> dict[str, bytes]:
    """A model whose weights lie in two files beside it and in itself, large and small ones. shared: two of them have bytes in common."""
    rng = np.random.default_rng(1)
    shapes = {'a': (200, 130), 'b': (130,), 'c': (130, 140), 'd': (140, 131), 'e': (131,), 'f': (140, 131)}
    files: dict[str, bytearray] = {'one.bin': bytearray(b'\1' * 7), 'two.bin': bytearray()}
    tensors = []
    for name, shape in shapes.items():
        tensor = numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
        place = {'a': 'one.bin', 'b': 'one.bin', 'c': 'two.bin', 'd': 'one.bin', 'f': 'one.bin'}.get(name)
        if place is not None:
            file = files[place]
            offset = len(file) - 4096 if shared and name == 'f' else len(file)
            set_external_data(tensor, place, offset, len(tensor.raw_data))
            file[offset:] = file[offset:] + tensor.raw_data if offset == len(file) else tensor.raw_data
            tensor.ClearField('raw_data')
            tensor.data_location = TensorProto.EXTERNAL
        tensors.append(tensor)
    nodes = [
        helper.make_node('MatMul', ['x', 'a'], ['g']), helper.make_node('Add', ['g', 'b'], ['h']), helper.make_node('MatMul', ['h', 'c'], ['i']),
        helper.make_node('MatMul', ['i', 'd'], ['j']), helper.make_node('Add', ['j', 'e'], ['k']), helper.make_node('MatMul', ['i', 'f'], ['l']),
        helper.make_node('Add', ['k', 'l'], ['m']), helper.make_node('Sum', ['m', 'd2'], ['y']),
    ]
    tensors.append(numpy_helper.from_array(rng.normal(size=(1, 131)).astype(np.float32), 'd2'))
    graph = helper.make_graph(
        nodes, 'g', [helper.make_tensor_value_info('x', TensorProto.FLOAT, ['n', 200])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, ['n', 131])], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
    return {MODEL: model.SerializeToString(), **{name: bytes(data) for name, data in files.items()}}


async def opened_from(preparation: Preparation) -> Opened:
    files = ModelFiles()
    files.image = await preparation.image()
    return await open_files(files, 'wasm', lambda: False)


async def result_of(opened: Opened) -> np.ndarray:
    found = await opened.executable.run({'x': Feed('float32', [3, 200], ROWS.ravel())}, ['y'])
    opened.executable.dispose()
    return np.array(found['y'].data).reshape(3, 131)


async def expected_of(files: dict[str, bytes]) -> np.ndarray:
    external = {name: memoryview(bytearray(data)) for name, data in files.items() if name != MODEL}
    model = await create_model(memoryview(bytearray(files[MODEL])), external, 'wasm')
    return await result_of(Opened([], [], model._executable))


@settings(max_examples=25)
@given(st.integers(1000, 300_000), st.integers(0, 1 << 30), st.sampled_from(['known', 'unknown', 'too small', 'too large']), st.booleans())
def test_the_results_are_the_same(step: int, seed: int, announced: str, shared: bool) -> None:
    import asyncio

    asyncio.run(check_results(step, seed, announced, shared))


async def check_results(step: int, seed: int, announced: str, shared: bool) -> None:
    chance = random.Random(seed)
    files = model_with_external_data(shared)
    pieces = [(name, start) for name, data in files.items() for start in range(0, len(data), step)]
    chance.shuffle(pieces)
    spent: list[int] = []
    preparation = Preparation(lambda data: spent.append(len(data)))
    for i, (name, start) in enumerate(pieces):
        data = files[name]
        total = {'known': len(data), 'unknown': None, 'too small': len(data) // 3, 'too large': 2 * len(data)}[announced]
        preparation.receive(name, start, memoryview(bytearray(data[start:start + step])), total)
        if i == len(pieces) // 2:
            await preparation.image()
    opened = await opened_from(preparation)
    assert sum(spent) == sum(len(data) for data in files.values()), 'the memory of every piece comes back'
    np.testing.assert_array_equal(await result_of(opened), await expected_of(files))


class StoredBytes:
    """host.port.StoredPiece: bytes that can be read, or not."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.readable = True
        self.reads = 0
        self.closed = False

    def read(self, memory: memoryview) -> int:
        assert not self.closed
        if not self.readable:
            raise OSError('it is gone')
        memory[:] = self.data[:len(memory)]
        self.reads += len(memory) > 0
        return len(memory)

    def close(self) -> None:
        assert not self.closed
        self.closed = True


def model_that_begins_with_a_table(role: str) -> bytes:
    """A table of 2000 x 131 in the role of a weight that is used as it is, packed, both, widened or not at all, then a weight of 131 x 131."""
    rng = np.random.default_rng(2)
    dtype = np.float16 if role == 'widened' else np.float32
    tensors = [numpy_helper.from_array(rng.normal(size=(2000, 131)).astype(dtype), 'table'), numpy_helper.from_array(rng.normal(size=(131, 131)).astype(np.float32), 'w')]
    tensors.append(numpy_helper.from_array(np.arange(3), 'rows'))
    tensors.append(numpy_helper.from_array(rng.normal(size=(200, 131)).astype(np.float32), 'v'))
    nodes = [helper.make_node('MatMul', ['x', 'v'], ['g'])]
    if role == 'packed' or role == 'both':
        nodes += [helper.make_node('Transpose', ['table'], ['t'], perm=[1, 0]), helper.make_node('MatMul', ['g', 't'], ['gt']), helper.make_node('MatMul', ['gt', 'table'], ['h'])]
    else:
        nodes.append(helper.make_node('MatMul', ['g', 'w'], ['h']))
    if role == 'plain' or role == 'both':
        nodes += [helper.make_node('Gather', ['table', 'rows'], ['e']), helper.make_node('Add', ['h', 'e'], ['y'])]
    elif role == 'widened':
        nodes += [helper.make_node('Gather', ['table', 'rows'], ['e']), helper.make_node('Cast', ['e'], ['f'], to=TensorProto.FLOAT), helper.make_node('Add', ['h', 'f'], ['y'])]
    else:
        nodes.append(helper.make_node('Identity', ['h'], ['y']))
    graph = helper.make_graph(
        nodes, 'g', [helper.make_tensor_value_info('x', TensorProto.FLOAT, ['n', 200])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, ['n', 131])], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)]).SerializeToString()


async def read_stored(data: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[Preparation, list[StoredBytes]]:
    """A preparation that was given the model in stored pieces, and these."""
    opened: list[StoredBytes] = []

    async def open_place(place: object, size: int) -> StoredBytes:
        opened.append(StoredBytes(data[place:place + size]))
        return opened[-1]

    # CPython has no store that another thread reads from.
    monkeypatch.setattr('edgeflow.backends.wasm.kernels.open_place', open_place)
    preparation = Preparation(lambda data: None)
    preparation.on_head.append(lambda head: setattr(preparation, 'table', read_head(head).table))
    for start in range(0, len(data), 100_000):
        assert await preparation.read_stored(MODEL, start, len(data[start:start + 100_000]), start, len(data))
    return preparation, opened


@pytest.mark.parametrize('role', ['plain', 'packed', 'both', 'widened', 'unused'])
async def test_the_table_with_which_a_model_begins_is_read_last(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = model_that_begins_with_a_table(role)
    preparation, opened = await read_stored(data, monkeypatch)
    late = [piece for piece in opened if piece.reads == 0]
    assert len(late) == 4 < len(opened) - 1
    found = await result_of(await opened_from(preparation))
    assert all(piece.closed for piece in opened)
    assert [piece.reads for piece in late] == [0 if role == 'unused' else 1] * len(late)
    np.testing.assert_array_equal(found, await expected_of({MODEL: data}))


async def test_a_late_piece_that_cannot_be_read_is_an_error_of_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    data = model_that_begins_with_a_table('plain')
    monkeypatch.setattr('edgeflow.backends.wasm.kernels.MOST_LATE', 3)
    preparation, opened = await read_stored(data[:500_000], monkeypatch)
    assert [piece.reads for piece in opened] == [1, 0, 0, 0, 1], 'no more than that is late'
    preparation.reset(MODEL)
    assert all(piece.closed for piece in opened)
    preparation, opened = await read_stored(data, monkeypatch)
    for piece in opened:
        piece.readable = False
    with pytest.raises(EdgeflowError) as e:
        await opened_from(preparation)
    assert e.value.code == 'file-missing'
    preparation.leave()
    assert all(piece.closed for piece in opened)


async def test_another_version_takes_the_place_of_the_first() -> None:
    files = model_with_external_data(False)
    spent: list[int] = []
    preparation = Preparation(lambda data: spent.append(len(data)))
    preparation.receive(MODEL, 0, memoryview(bytearray(files[MODEL])), len(files[MODEL]))
    preparation.receive('one.bin', 0, memoryview(bytearray(1000)), 100_000)
    preparation.reset('one.bin')
    assert spent == [1000]
    await preparation.image()
    preparation.receive('two.bin', 500, memoryview(bytearray(500)), 1000)
    preparation.reset('two.bin')
    for name in ['one.bin', 'two.bin']:
        preparation.receive(name, 0, memoryview(bytearray(files[name])), len(files[name]))
    np.testing.assert_array_equal(await result_of(await opened_from(preparation)), await expected_of(files))


async def test_more_than_the_memory_can_be_is_an_error_of_the_load() -> None:
    spent: list[int] = []
    preparation = Preparation(lambda data: spent.append(len(data)))
    for start in [0, 100]:
        preparation.receive(MODEL, start, memoryview(bytearray(100)), 1 << 33)
    with pytest.raises(EdgeflowError) as e:
        await preparation.image()
    assert e.value.code == 'out-of-memory'
    assert spent == [100, 100]


async def test_packed_weights_take_the_place_of_plain_ones() -> None:
    data = (folder() / 'onnx' / 'model.onnx').read_bytes()
    preparation = Preparation(lambda data: None)
    for start in range(0, len(data), 4 << 20):
        preparation.receive(MODEL, start, memoryview(bytearray(data[start:start + (4 << 20)])), len(data))
    opened = await opened_from(preparation)
    try:
        assert opened.executable.memory().total < 1.06 * len(data)
    finally:
        opened.executable.dispose()


def test_the_head_of_the_model_is_told_once_it_is_here() -> None:
    heads: list[bytes] = []
    preparation = Preparation(lambda data: data.cast('B').__setitem__(0, 0))
    preparation.on_head.append(lambda head: heads.append(bytes(head)))
    preparation.receive('one.bin', 0, memoryview(bytearray(b'weights')), 7)
    preparation.receive(MODEL, 3, memoryview(bytearray(b'rest')), 7)
    assert heads == []
    preparation.receive(MODEL, 0, memoryview(bytearray(b'\x08\x07:')), 7)
    assert heads == [b'\x08\x07:']
