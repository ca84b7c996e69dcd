"""What only the CPython side has: the wrapper of @public, numpy arrays, bytes objects, views that keep memory alive."""

from __future__ import annotations

import ast
import gc
import inspect
import warnings
from pathlib import Path

import numpy
import pytest
import wasmtime

from edgeflow.errors import EdgeflowError
from edgeflow.host import cpython, port
from edgeflow.host.platform import (
    array_bytes, array_flat, array_list, array_of, as_bytes, instantiate_wasm, new_array, spawn_worker, utf8_decode, warn,
)
from edgeflow.options import public
from edgeflow.runtime.tensor import tensor


@public
def plain(x: int, *, top_k: int = 1) -> int:
    """Doc."""
    return x * top_k


@public
async def later(x: int, *, top_k: int = 1) -> int:
    return x * top_k


class Thing:
    @public
    def method(self, x: int, *, top_k: int = 1) -> int:
        return x * top_k

    @public
    async def later(self, *, top_k: int = 1) -> int:
        return top_k


async def test_unknown_keywords_are_edgeflow_errors() -> None:
    for call in [lambda: plain(1, top_n=2), lambda: Thing().method(1, top_n=2)]:
        with pytest.raises(EdgeflowError, match="Did you mean 'top_k'") as e:
            call()
        assert e.value.code == 'unknown-option'
    with pytest.raises(EdgeflowError, match='later has no option'):
        await later(1, topk=2)
    with pytest.raises(EdgeflowError, match='Thing.later'):
        await Thing().later(topk=2)


async def test_known_keywords_pass() -> None:
    assert plain(x=2, top_k=3) == 6
    assert Thing().method(x=2, top_k=3) == 6
    assert await later(2, top_k=3) == 6
    assert inspect.iscoroutinefunction(later)
    assert plain.__doc__ == 'Doc.'
    with pytest.raises(TypeError):
        plain()


def test_numpy_arrays_of_any_rank() -> None:
    array = numpy.arange(6, dtype=numpy.int64).reshape(2, 3)
    t = tensor(array)
    assert (t.dtype, t.shape, t.tolist()) == ('int64', [2, 3], [[0, 1, 2], [3, 4, 5]])
    array[0, 0] = 9
    assert t.tolist()[0][0] == 9
    assert tensor(array.T).tolist() == [[9, 3], [1, 4], [2, 5]]
    assert tensor(numpy.asfortranarray(array)).tolist() == array.tolist()
    assert tensor(array[:, ::2]).tolist() == [[9, 2], [3, 5]]
    assert tensor(numpy.float32(2.5)).tolist() == 2.5
    assert tensor(numpy.array([True, False])).dtype == 'bool'
    assert tensor(numpy.array([1.5], '>f4')).tolist() == [1.5]
    assert tensor([numpy.array([1, 2]), numpy.array([3, 4])]).shape == [2, 2]
    with pytest.raises(EdgeflowError):
        tensor(numpy.array(['a']))
    with pytest.raises(EdgeflowError):
        tensor(numpy.array([1j]))


def test_float16_arrays_are_numpy_float16() -> None:
    assert tensor([1.5], None, 'float16').data.dtype == numpy.float16


@pytest.mark.parametrize('values', [['a'], [None], [[1]]])
def test_values_that_are_no_numbers(values: list) -> None:
    with pytest.raises(EdgeflowError) as e:
        array_of('int32', values)
    assert e.value.code == 'invalid-argument'


def test_random_conversions_agree_with_numpy() -> None:
    rng = numpy.random.default_rng(1)
    values = (rng.standard_normal(2000) * 10.0 ** rng.integers(-10, 10, 2000)).tolist()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        assert numpy.array_equal(array_of('float16', values), numpy.array(values).astype(numpy.float16))
    bits = array_of('bfloat16', values).astype(numpy.uint32) << 16
    exact = numpy.array(values, numpy.float32)
    assert numpy.all(numpy.abs(bits.view(numpy.float32) - exact) <= numpy.abs(exact) * 2.0**-8)


def test_bytes_of_all_kinds() -> None:
    for value in [b'ab', bytearray(b'ab'), memoryview(b'ab'), memoryview(b'xabx')[1:3]]:
        assert utf8_decode(as_bytes(value)) == 'ab'
    assert len(as_bytes(memoryview(numpy.zeros(2, numpy.float32)))) == 8
    assert array_list(array_flat(numpy.zeros((2, 0)))) == []
    assert len(array_bytes(new_array('float32', 0))) == 0


async def test_views_keep_wasm_memory_alive() -> None:
    wasm = await instantiate_wasm(as_bytes(bytes(wasmtime.wat2wasm('(module (memory (export "memory") 64))'))))
    view = wasm.view(0, 64 * 65536)
    view[0] = 7
    array = numpy.frombuffer(view, numpy.uint8)
    del wasm, view
    gc.collect()
    for _ in range(5):
        other = await instantiate_wasm(as_bytes(bytes(wasmtime.wat2wasm('(module (memory (export "memory") 64))'))))
        other.view(0, 1)[0] = 1
    assert array[0] == 7 and int(array.sum()) == 7


def test_code_is_compiled_once() -> None:
    from edgeflow.host import cpython_wasm

    code = bytes(wasmtime.wat2wasm('(module (memory (export "memory") 2) (func (export "f")))'))
    assert cpython_wasm._module(memoryview(code)) is cpython_wasm._module(memoryview(bytes(bytearray(code))))


def test_warnings_and_workers() -> None:
    with pytest.warns(UserWarning, match='slow'):
        warn('slow')
    with pytest.raises(EdgeflowError) as e:
        spawn_worker('x.js')
    assert e.value.code == 'platform'


def promised() -> list[str]:
    """The function names of port.py's docstring."""
    names = []
    for line in (port.__doc__ or '').splitlines():
        if line.startswith('    ') and not line.startswith('     '):
            for part in line.split(' ; '):
                name = part.strip().removeprefix('async ').split('(')[0]
                if '(' in part and name.isidentifier():
                    names.append(name)
            first = line.split('(')[0]
            if '/' in first:
                names.extend(name.strip() for name in first.split('/') if name.strip().isidentifier())
    return names


def test_the_port_is_kept() -> None:
    names = promised()
    assert len(names) > 40 and {'read_u32', 'read_f64', 'on_abort', 'load_tokenizer', 'check_calls'} <= set(names)
    for side in ('cpython', 'browser'):
        given: set[str] = set()
        for seam in ('', '_gpu', '_strings', '_images', '_text', '_machine', '_logits'):
            for node in ast.parse(Path(cpython.__file__).with_name(f'{side}{seam}.py').read_text()).body:
                if isinstance(node, ast.ImportFrom):
                    given.update(alias.name for alias in node.names)
                elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    given.add(node.name)
                elif isinstance(node, ast.Assign):
                    given.update(target.id for target in node.targets if isinstance(target, ast.Name))
        assert [name for name in names if name not in given] == [], side
