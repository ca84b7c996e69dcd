"""The JS side of the host seam: browsers (pages and workers) and Node. JS only; see host/port.py for the contract.

Raw JS stands in `__pragma__('js', ...)`, as whole bodies of typed functions; names in it are the camelCase ones. The larger
parts have files of their own: browser_arrays, browser_cache, browser_devices, browser_files (what the store fetches), browser_folder (Node's
store), browser_io (network, files), browser_scopes, browser_store, browser_tasks, browser_wasm, browser_workers; browser_text stands for host.text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.browser_arrays import (  # noqa: F401
    array_bytes, array_copy, array_dtype, array_flat, array_ints, array_list, array_of, array_shape, array_size,
    array_view, as_bytes, bytes_of, copy_bytes, float_bits, join_bytes, new_array, new_bytes, plain_list,
    read_f32, read_f64, read_i32, read_i64, read_u32, utf8_decode, utf8_encode, write_i32s,
)
from edgeflow.host.browser_cache import (  # noqa: F401
    drop_memory, epoch_ms, free_headers, hold_memory, new_sha256, persist_storage, storage_room, with_lock,
)
from edgeflow.host.browser_devices import accelerators  # noqa: F401
from edgeflow.host.browser_io import (  # noqa: F401
    fetch, forget_spare_memory, is_url, new_abort_controller, on_abort, read_file, reads_files, reuse_memory_of, signal_aborted,
)
from edgeflow.host.browser_store import open_place, open_store  # noqa: F401
from edgeflow.host.browser_parts import find_parts_in, part_addresses, use_part_addresses  # noqa: F401
from edgeflow.host.browser_rows import mean_rows, unit_rows  # noqa: F401
from edgeflow.host.browser_scopes import (  # noqa: F401
    call_later, call_stack, current_scope, enter_scope, leave_scope, on_using, watch_collection, weak_reference, when_done,
)
from edgeflow.host.browser_tasks import (  # noqa: F401
    error_stack, new_deferred, pause, readable_stream, set_error_stack, start_task,
)
from edgeflow.host.browser_wasm import compile_wasm, instantiate_wasm, isolated, load_asset, start_wasm, wasm_features  # noqa: F401
from edgeflow.host.browser_workers import (  # noqa: F401
    bytes_memory, default_workers, new_channel, open_port, own_bytes, spawn_worker, worker_port,
)
from edgeflow.host.port import Bytes


def _fail(code: str, message: str) -> EdgeflowError:
    return EdgeflowError(code, message)


def _value_error(message: str) -> ValueError:
    return ValueError(message)


__pragma__('js', r'''
import { newBytes } from './browser_arrays.js';

function toMaps(value) {
  if (Array.isArray(value)) return value.map(toMaps);
  if (value === null || typeof value !== 'object') return value;
  const map = new Map();
  for (const key of Object.keys(value)) map.set(key, toMaps(value[key]));
  return map;
}
''')


# Data


def json_parse(text: str) -> object:
    __pragma__('js', r'''
    try {
      return toMaps(JSON.parse(text));
    } catch (error) {
      throw _valueError(error.message);
    }
    ''')


def json_text(value: object) -> str:
    __pragma__('js', r'''
    return JSON.stringify(value, (key, item) => {
      if (typeof item === 'number' && !Number.isFinite(item)) throw _valueError(`JSON has no ${item}`);
      return item instanceof Map ? Object.fromEntries(item) : item;
    });
    ''')


def to_dict(mapping: object) -> dict[str, object]:
    __pragma__('js', r'''
    if (mapping instanceof Map) return new Map(mapping);
    if (Object.prototype.toString.call(mapping) !== '[object Object]') {
      throw _fail('invalid-argument', `expected names with values (an object or a Map); got ${mapping === null ? 'null' : typeof mapping}`);
    }
    return new Map(Object.entries(mapping));
    ''')


def native_mapping(d: dict[str, object]) -> object:
    __pragma__('js', 'return Object.fromEntries(d);')


def make_callable(target: object) -> object:
    __pragma__('js', r'''
    const call = (...inputs) => call.run(...inputs);
    return Object.setPrototypeOf(call, target);
    ''')


# Time, chance, tasks


def now() -> float:
    __pragma__('js', 'return performance.now();')


async def sleep(ms: float) -> None:
    __pragma__('js', 'await new Promise(resolve => setTimeout(resolve, ms));')


def random_bytes(size: int) -> Bytes:
    __pragma__('js', r'''
    const bytes = newBytes(size);
    for (let start = 0; start < size; start += 65536) crypto.getRandomValues(bytes.subarray(start, start + 65536));
    return bytes;
    ''')


async def gather(awaitables: list[Awaitable]) -> list:
    __pragma__('js', 'return Promise.all(awaitables);')


def warn(message: str) -> None:
    __pragma__('js', 'console.warn(message);')


def call_with(action: Callable[..., object], options: object) -> object:
    __pragma__('js', 'return action(Object.fromEntries(toDict(options)));')


def check_calls(function: Callable, check: Callable) -> Callable:
    """The function itself: in JS the transpiler checks option names at its head."""
    return function
