"""The CPython side of the host seam: numpy for arrays, memoryview for bytes, asyncio for tasks.

See host/port.py for the contract. The larger parts have files of their own: cpython_arrays, cpython_wasm (wasmtime),
cpython_io (httpx, files, sqlite3), cpython_tasks. This module and those are CPython only; JS has host/browser.py in their place.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
import time
import warnings
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

from edgeflow.errors import EdgeflowError
from edgeflow.host.cpython_arrays import (  # noqa: F401
    array_bytes, array_copy, array_dtype, array_flat, array_ints, array_list, array_of, array_shape, array_size,
    array_view, as_bytes, bytes_of, copy_bytes, float_bits, join_bytes, new_array, new_bytes, plain_list,
    read_f32, read_f64, read_i32, read_i64, read_u32, utf8_decode, utf8_encode, write_i32s,
)
from edgeflow.host.cpython_io import (  # noqa: F401
    AbortController, drop_memory, fetch, forget_spare_memory, free_headers, hold_memory, is_url, load_asset, new_sha256, on_abort, open_place, open_store,
    persist_storage, read_file, reads_files, reuse_memory_of, signal_aborted, storage_room, with_lock,
)
from edgeflow.host.cpython_rows import mean_rows, unit_rows  # noqa: F401
from edgeflow.host.cpython_scopes import (  # noqa: F401
    call_later, call_stack, current_scope, enter_scope, leave_scope, on_using, watch_collection, weak_reference, when_done,
)
from edgeflow.host.cpython_tasks import (  # noqa: F401
    bytes_memory, default_workers, error_stack, find_parts_in, new_channel, new_deferred, open_port, own_bytes, part_addresses, pause, readable_stream,
    set_error_stack, spawn_worker, start_task, use_part_addresses, worker_port,
)
from edgeflow.host.cpython_wasm import compile_wasm, instantiate_wasm, isolated, start_wasm, wasm_features  # noqa: F401

T = TypeVar('T')
F = TypeVar('F', bound=Callable[..., Any])


async def accelerators() -> list[str]:
    return []


# Data


def json_parse(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError('the JSON is nested too deeply') from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f'JSON has no {name}')


def json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(',', ':'), allow_nan=False)


def to_dict(mapping: object) -> dict[str, Any]:
    if not isinstance(mapping, Mapping):
        raise EdgeflowError(
            'invalid-argument', f'expected names with values (a dict); got {type(mapping).__name__}', {},
        )
    return dict(mapping)


def native_mapping(d: dict[str, T]) -> dict[str, T]:
    return d


@functools.cache
def _callable_class(kind: Any) -> type:
    return type(kind.__name__, (kind,), {'__call__': kind.run, '__module__': kind.__module__, '__doc__': kind.__doc__})


def make_callable(target: T) -> T:
    target.__class__ = _callable_class(cast(Any, type(target)))
    return target


# Time, chance, tasks


def now() -> float:
    return time.perf_counter() * 1000.0


def epoch_ms() -> float:
    return time.time() * 1000.0


async def sleep(ms: float) -> None:
    await asyncio.sleep(ms / 1000.0)


def random_bytes(size: int) -> memoryview:
    return memoryview(bytearray(os.urandom(size)))


async def gather(awaitables: list[Awaitable]) -> list:
    return list(await asyncio.gather(*awaitables))


def new_abort_controller() -> AbortController:
    return AbortController()


def warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)


def call_with(action: Callable[..., object], options: object) -> object:
    return action(**to_dict(options))


def check_calls(function: F, check: Callable[[list[str], list[str], str], None]) -> F:
    """`function` with its keyword arguments checked by name before the call.

    In JS the transpiler puts the same check at the head of the function.
    """
    parameters = inspect.signature(function).parameters.values()
    known = [p.name for p in parameters if p.kind == p.KEYWORD_ONLY]
    by_name = {p.name for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD}
    where = function.__qualname__.removesuffix('.__init__')

    def check_names(options: dict[str, object]) -> None:
        given = [name for name in options if name not in by_name]
        if given:
            check(given, known, where)

    if inspect.iscoroutinefunction(function):
        @functools.wraps(function)
        async def checked_later(*args: object, **options: object) -> object:
            check_names(options)
            return await function(*args, **options)

        return cast(F, checked_later)

    @functools.wraps(function)
    def checked(*args: object, **options: object) -> object:
        check_names(options)
        return function(*args, **options)

    return cast(F, checked)
