"""Run one node by its GPU lowering on numpy arrays: `[y] = run_node('Relu', [x])`.

None where an input is left out. `weights`: which inputs are initializers: int8 and uint8 ones stay packed bytes on the GPU, float16 ones are
float16 there if the device can; all other inputs are activations. Constant inputs, whose elements a lowering reads while planning (axes, shapes),
are in `known`. NotTaken: the lowering left the node to WASM. What a kernel reports
through fault_flags() is EdgeflowError 'run-failed'.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence

import numpy as np

from edgeflow.backends.wasm.lower_spatial import install_spatial
from edgeflow.backends.wasm.more.lowerings import install
from edgeflow.backends.webgpu.builder import Dispatch, GpuBuilder, gpu_offset, gpu_size, kind_of
from edgeflow.backends.webgpu.device import Gpu, open_device
from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS, OTHERS
from edgeflow.errors import EdgeflowError
from edgeflow.host.port import GpuCommand, GpuPiece
from edgeflow.ir.graph import Node
from edgeflow.plan.planner import memory_dtype, new_outputs
from edgeflow.plan.values import Value

# The operators that models of their own fetch.
install_spatial()
install()
for _, bring in OTHERS:
    asyncio.run(bring())

KIND_TYPES = {'f32': np.float32, 'f16': np.float16, 'i32': np.int32, 'u32': np.uint32}


class NotTaken(Exception):
    """The lowering gave False, or there is none."""


@functools.cache
def gpu() -> Gpu:
    opened = asyncio.run(open_device())
    assert opened is not None, 'no GPU adapter'
    return opened


class _Constants:
    def __init__(self) -> None:
        self.arrays: dict[int, np.ndarray] = {}

    def read_ints(self, value: Value) -> list[int]:
        literal = value.root().literal
        return literal if literal is not None else [int(x) for x in self.arrays[value.root().number].reshape(-1)]

    def read_floats(self, value: Value) -> list[float]:
        return [float(x) for x in self.arrays[value.root().number].reshape(-1)]

    def packed(self, form: object, inputs: object) -> None:
        return None


def dtype_name(array: np.ndarray) -> str:
    return 'bool' if array.dtype == np.bool_ else array.dtype.name


def to_bytes(array: np.ndarray, value: Value) -> bytes:
    """The array as it lies in GPU memory, padded."""
    kind = kind_of(value)
    flat = np.ascontiguousarray(array).reshape(-1)
    data = flat.tobytes() if kind == 'bytes' else flat.astype(KIND_TYPES[kind]).tobytes()
    return data + bytes(gpu_size(value) - len(data))


def from_bytes(data: memoryview, value: Value) -> np.ndarray:
    array = np.frombuffer(data, KIND_TYPES[kind_of(value)])[:value.count()]
    return array.astype(np.dtype(value.dtype)).reshape(value.shape)


def run_node(
    key: str, inputs: Sequence[np.ndarray | None], attributes: dict[str, object] | None = None, *, outputs: int = 1, opset: int = 21,
    weights: Sequence[int] = (), known: Sequence[int] = (), wanted: Sequence[int] | None = None,
) -> list[np.ndarray | None]:
    """The outputs of a node `key` ('MatMul', 'edgeflow:MatMul'); None for those not `wanted` (numbers; None: all)."""
    domain, _, op = key.rpartition(':')
    names = ['' if array is None else f'x{i}' for i, array in enumerate(inputs)]
    made = [f'y{i}' if wanted is None or i in wanted else '' for i in range(outputs)]
    node = Node(op, domain, 'node', names, made, dict(attributes or {}))
    constants = _Constants()
    b = GpuBuilder(constants, gpu().features)
    values: list[Value | None] = []
    arrays: dict[int, np.ndarray] = {}
    for i, array in enumerate(inputs):
        if array is None:
            values.append(None)
            continue
        dtype = dtype_name(array)
        value = b.new_value(names[i], memory_dtype(dtype), list(array.shape))
        arrays[value.number] = array
        if i in weights:
            value.constant = True
            value.initializer = names[i]
            value.half = dtype == 'float16' and b.features.f16
        if i in known or i in weights:
            value.constant = True
            constants.arrays[value.number] = array
        values.append(value)
    b.begin(node, opset)
    results = new_outputs(node, opset, values, b)
    lowering = GPU_LOWERINGS.get(node.key())
    if lowering is None or not lowering(b, node, values, results):
        raise NotTaken(key)
    return asyncio.run(_execute(b, arrays, results))


async def _execute(b: GpuBuilder, arrays: dict[int, np.ndarray], results: list[Value | None]) -> list[np.ndarray | None]:
    """Every root value in a buffer of its own; what nobody wrote is full of NaN bits."""
    device = gpu().device
    dispatches = [step for step in b.steps if isinstance(step, Dispatch)]
    assert len(dispatches) == len(b.steps), 'a GPU lowering must only dispatch'
    await gpu().compile(dispatches)
    buffers: dict[int, object] = {}

    def piece(value: Value) -> GpuPiece:
        root = value.root()
        if root.number not in buffers:
            size = gpu_size(root)
            buffers[root.number] = device.buffer(size)
            if root is b.faults:
                data = bytes(size)
            elif root.literal is not None:
                data = to_bytes(np.array(root.literal), root)
            else:
                data = to_bytes(arrays[root.number], root) if root.number in arrays else b'\xff' * size
            device.write(buffers[root.number], 0, memoryview(bytes(data)))
        return GpuPiece(buffers[root.number], gpu_offset(value), gpu_size(value))

    commands: list[GpuCommand] = []
    uniforms: list[object] = []
    copies: list[object] = []
    for dispatch in dispatches:
        words = np.array(dispatch.parameters, np.int64)
        data = words.astype(np.uint32).tobytes()
        data = data + bytes(max(16, -len(data) % 16))
        uniform = device.buffer(len(data), True)
        device.write(uniform, 0, memoryview(data))
        uniforms.append(uniform)
        forms = gpu().forms(dispatch.label())
        pieces = [GpuPiece(uniform, 0, len(data))]
        assert len(forms) == 1 + len(dispatch.words), f'{dispatch.kernel} has the bindings {forms}, {len(dispatch.words)} values were given'
        for i, value in enumerate(dispatch.bindings()):
            bound = piece(value)
            if bound.offset % 256 != 0:
                assert forms[i + 1] == 'r', 'a view that is written must be aligned to 256 bytes'
                copied = device.buffer(bound.size)
                copies.append(copied)
                size = min(bound.size, gpu_size(value.root()) - bound.offset)
                commands.append(GpuCommand(None, None, [], GpuPiece(bound.buffer, bound.offset, size), GpuPiece(copied, 0, size)))
                bound = GpuPiece(copied, 0, bound.size)
            elif bound.offset + bound.size > gpu_size(value.root()):
                bound = GpuPiece(bound.buffer, bound.offset, gpu_size(value.root()) - bound.offset)
            pieces.append(bound)
        commands.append(GpuCommand(gpu().compiled(dispatch.label()), device.group(forms, pieces), dispatch.groups))
    reads = [piece(value) for value in results if value is not None]
    if b.faults is not None:
        reads.append(piece(b.faults))
    data = iter(await device.run(commands, reads))
    for buffer in [*buffers.values(), *uniforms, *copies]:
        device.free(buffer)
    arrays_out = [None if value is None else from_bytes(next(data), value) for value in results]
    if b.faults is not None:
        failed = np.frombuffer(next(data), np.uint32)
        if failed.any():
            raise EdgeflowError('run-failed', f'{b.failing[int(failed.argmax())]} failed', {})
    return arrays_out
