"""WebAssembly: calls, memory, traps. The same tiny modules in wasmtime, Node and Chromium."""

from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_list, array_view, bytes_of, copy_bytes, instantiate_wasm, wasm_features
from edgeflow.host.port import WasmInstance

# (module (memory (export "memory") 1 3) (global (export "__heap_base") i32 (i32.const 1024))
#   (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
#   (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
#   (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
#   (func (export "stop") unreachable)
#   (func $deep (export "deep") (call $deep))
#   (func (export "more") (param i32) (result i32) (memory.grow (local.get 0))))
SMALL = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 20, 4, 96, 2, 127, 127, 1, 127, 96, 2, 127, 127, 0, 96, 1, 127, 1, 127, 96,
    0, 0, 3, 7, 6, 0, 1, 2, 3, 3, 2, 5, 4, 1, 1, 1, 3, 6, 7, 1, 127, 0, 65, 128, 8, 11, 7, 66, 8, 6, 109, 101,
    109, 111, 114, 121, 2, 0, 11, 95, 95, 104, 101, 97, 112, 95, 98, 97, 115, 101, 3, 0, 3, 97, 100, 100, 0, 0,
    5, 115, 116, 111, 114, 101, 0, 1, 4, 108, 111, 97, 100, 0, 2, 4, 115, 116, 111, 112, 0, 3, 4, 100, 101, 101,
    112, 0, 4, 4, 109, 111, 114, 101, 0, 5, 10, 43, 6, 7, 0, 32, 0, 32, 1, 106, 11, 9, 0, 32, 0, 32, 1, 54, 2,
    0, 11, 7, 0, 32, 0, 40, 2, 0, 11, 3, 0, 0, 11, 4, 0, 16, 4, 11, 6, 0, 32, 0, 64, 0, 11, 0, 14, 4, 110, 97,
    109, 101, 1, 7, 1, 4, 4, 100, 101, 101, 112,
]

# (module (func (export "f")))
NO_MEMORY = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 4, 1, 2, 0, 11,
]

# (module (import "env" "g" (func)) (memory (export "memory") 1))
WANTS_IMPORT = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 2, 9, 1, 3, 101, 110, 118, 1, 103, 0, 0, 5, 3, 1, 0, 1, 7,
    10, 1, 6, 109, 101, 109, 111, 114, 121, 2, 0,
]


async def small() -> WasmInstance:
    return await instantiate_wasm(bytes_of(SMALL))


async def test_calls_take_and_give_32_bit_integers() -> None:
    wasm = await small()
    assert wasm.call('add', [2, 3]) == 5
    assert wasm.call('add', [-2, -3]) == -5
    assert wasm.call('add', [4294967295, 3]) == 2
    assert wasm.call('store', [16, 7]) == 0
    assert wasm.call('load', [16]) == 7


async def test_views_are_the_memory_itself() -> None:
    wasm = await small()
    view = wasm.view(8, 8)
    copy_bytes(view, 0, bytes_of([1, 0, 0, 0, 2]))
    assert wasm.call('load', [8]) == 1
    wasm.call('store', [12, 258])
    assert array_list(array_view('uint8', view)) == [1, 0, 0, 0, 2, 1, 0, 0]
    assert len(wasm.view(65536, 0)) == 0


async def test_views_stay_inside() -> None:
    wasm = await small()
    with pytest.raises(IndexError):
        wasm.view(65536, 1)
    with pytest.raises(IndexError):
        wasm.view(-1, 1)
    with pytest.raises(IndexError):
        wasm.view(0, -1)


async def test_instances_have_memories_of_their_own() -> None:
    first = await small()
    second = await small()
    first.call('store', [0, 5])
    assert second.call('load', [0]) == 0


async def test_growing() -> None:
    wasm = await small()
    wasm.call('store', [0, 42])
    assert wasm.memory_size() == 65536
    wasm.grow(65537)
    assert wasm.memory_size() == 131072
    wasm.grow(10)
    assert wasm.memory_size() == 131072
    assert wasm.call('load', [0]) == 42
    assert len(wasm.view(131071, 1)) == 1
    with pytest.raises(EdgeflowError) as e:
        wasm.grow(65536 * 4)
    assert e.value.code == 'out-of-memory'
    assert wasm.memory_size() == 131072


async def test_memory_that_the_code_grows_itself() -> None:
    wasm = await small()
    assert wasm.call('more', [1]) == 1
    assert wasm.memory_size() == 131072
    assert len(wasm.view(65536, 65536)) == 65536


async def test_globals() -> None:
    wasm = await small()
    assert wasm.global_value('__heap_base') == 1024
    with pytest.raises(EdgeflowError) as e:
        wasm.global_value('add')
    assert e.value.code == 'platform'


async def test_traps_name_the_function_and_leave_the_instance_usable() -> None:
    wasm = await small()
    for name in ['stop', 'deep']:
        with pytest.raises(EdgeflowError) as e:
            wasm.call(name, [])
        assert e.value.code == 'run-failed'
        assert e.value.message.startswith(name)
    with pytest.raises(EdgeflowError) as e:
        wasm.call('load', [65536])
    assert e.value.code == 'run-failed'
    assert wasm.call('add', [1, 1]) == 2


async def test_functions_that_are_not_there() -> None:
    wasm = await small()
    for name in ['nothing', 'memory', 'toString']:
        with pytest.raises(EdgeflowError) as e:
            wasm.call(name, [])
        assert e.value.code == 'platform'
        assert name in e.value.message


async def test_code_that_cannot_run() -> None:
    for code in [[], [1, 2, 3], SMALL[0:40], NO_MEMORY, WANTS_IMPORT]:
        with pytest.raises(EdgeflowError) as e:
            await instantiate_wasm(bytes_of(code))
        assert e.value.code == 'platform'


def test_features() -> None:
    features = wasm_features()
    assert features.simd
    assert features.relaxed_simd in [True, False]
    assert wasm_features() == features
