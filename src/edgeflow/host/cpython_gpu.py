"""WebGPU in CPython through wgpu-py. CPython only. See host/port.py for the contract.

wgpu-py is an optional dependency: without it, or without an adapter, there is no GPU here.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy

from edgeflow.errors import EdgeflowError
from edgeflow.host.cpython_io import SHADERS
from edgeflow.host.port import GpuCommand, GpuPiece

T = TypeVar('T')

LIMITS = {
    'maxStorageBufferBindingSize': 'max-storage-buffer-binding-size', 'maxBufferSize': 'max-buffer-size',
    'maxComputeWorkgroupStorageSize': 'max-compute-workgroup-storage-size', 'maxStorageBuffersPerShaderStage': 'max-storage-buffers-per-shader-stage',
    'maxComputeInvocationsPerWorkgroup': 'max-compute-invocations-per-workgroup', 'maxComputeWorkgroupSizeX': 'max-compute-workgroup-size-x',
    'maxComputeWorkgroupsPerDimension': 'max-compute-workgroups-per-dimension',
}
# wgpu-native's names of features, where they differ.
FEATURES = {'subgroups': 'subgroup'}
# Of the language: wgpu-native compiles these and does not list them.
LANGUAGE = ['packed_4x8_integer_dot_product']


# `// include NAME` is replaced as toolchain/shaders.py does it.
def _included(name: str, seen: set[str]) -> str:
    seen.add(name)
    lines: list[str] = []
    for line in (SHADERS / name).read_text().splitlines():
        words = line.split()
        if words[:2] == ['//', 'include']:
            lines.append('' if words[2] in seen else _included(words[2], seen))
        else:
            lines.append(line)
    return '\n'.join(lines)


def add_shaders(more: dict[str, str]) -> None:
    """They are there."""


def shader_source(name: str) -> str:
    return _included(name + '.wgsl', set())


async def open_gpu(wanted: list[str], on_lost: Callable[[str], None]) -> Device | None:
    try:
        import wgpu
    except ImportError:
        return None
    try:
        adapter = wgpu.gpu.request_adapter_sync(power_preference='high-performance')
    except Exception as error:
        if 'adapter' not in str(error).lower():
            raise
        return None
    if adapter is None:
        return None
    features = [name for name in wanted if FEATURES.get(name, name) in adapter.features]
    limits = {python: adapter.limits[python] for python in LIMITS.values()}
    device = adapter.request_device_sync(required_features=[FEATURES.get(name, name) for name in features], required_limits=limits)
    return Device(adapter, device, features + [name for name in wanted if name in LANGUAGE], on_lost)


class Device:
    """host.port.GpuDevice."""

    def __init__(self, adapter: Any, device: Any, features: list[str], on_lost: Callable[[str], None]) -> None:
        import wgpu

        self.usage = wgpu.BufferUsage
        self.raw = device
        self._on_lost = on_lost
        self._layouts: dict[str, tuple[Any, Any]] = {}
        self._limits = dict(device.limits)
        self._info = dict(adapter.info)
        self.features: list[str] = features
        self.name: str = ' '.join(filter(None, [self._info.get('vendor'), self._info.get('device')]))
        self.software: bool = self._info.get('adapter_type') == 'CPU'
        self.subgroup_size: int = int(self._info.get('stackgroup_min_size') or 0)
        self.matrix: list[int] = []
        self.lost: bool = False

    def limit(self, name: str) -> int:
        return int(self._limits[LIMITS[name]])

    def buffer(self, size: int, uniform: bool = False) -> Any:
        usage = self.usage.COPY_DST | (self.usage.UNIFORM if uniform else self.usage.STORAGE | self.usage.COPY_SRC)
        return self.guarded(lambda: self.raw.create_buffer(size=size, usage=usage))

    def free(self, buffer: Any) -> None:
        buffer.destroy()

    def write(self, buffer: Any, offset: int, data: memoryview, again: bool = False) -> None:
        if len(data) % 4 != 0:
            data = memoryview(bytes(data) + bytes(-len(data) % 4))
        if len(data) > 0:
            self.guarded(lambda: self.raw.queue.write_buffer(buffer, offset, data))

    def _layout(self, forms: str) -> tuple[Any, Any]:
        if forms not in self._layouts:
            import wgpu

            types = {'u': 'uniform', 'r': 'read-only-storage', 'w': 'storage'}
            entries = [
                {'binding': i, 'visibility': wgpu.ShaderStage.COMPUTE, 'buffer': {'type': types[form]}} for i, form in enumerate(forms)
            ]
            groups = self.raw.create_bind_group_layout(entries=entries)
            self._layouts[forms] = (groups, self.raw.create_pipeline_layout(bind_group_layouts=[groups]))
        return self._layouts[forms]

    async def pipeline(self, label: str, code: str, constants: dict[str, int], forms: str) -> object:
        def make() -> object:
            module = self.raw.create_shader_module(label=label, code=code.replace('enable subgroups;\n', ''))
            return self.raw.create_compute_pipeline(
                label=label, layout=self._layout(forms)[1], compute={'module': module, 'entry_point': 'main', 'constants': constants})

        return self.guarded(make)

    def group(self, forms: str, pieces: list[GpuPiece]) -> object:
        entries = [
            {'binding': i, 'resource': {'buffer': piece.buffer, 'offset': piece.offset, 'size': piece.size}} for i, piece in enumerate(pieces)
        ]
        return self.guarded(lambda: self.raw.create_bind_group(layout=self._layout(forms)[0], entries=entries))

    def _encode(self, commands: list[GpuCommand]) -> Any:
        encoder = self.raw.create_command_encoder()
        compute = None
        for command in commands:
            if command.pipeline is None:
                if compute is not None:
                    compute.end()
                    compute = None
                self.copy(encoder, command)
                continue
            if compute is None:
                compute = encoder.begin_compute_pass()
            compute.set_pipeline(command.pipeline)
            compute.set_bind_group(0, command.group)
            compute.dispatch_workgroups(*command.groups)
        if compute is not None:
            compute.end()
        return encoder

    def watch(self) -> None:
        """Errors are raised at once here."""

    async def settled(self) -> None:
        self.guarded(lambda: None)

    def submit(self, commands: list[GpuCommand]) -> None:
        self.guarded(lambda: self.raw.queue.submit([self._encode(commands).finish()]))

    @staticmethod
    def copy(encoder: Any, command: GpuCommand) -> None:
        source, target = command.source, command.target
        assert source is not None and target is not None, 'a copy has two ends'
        encoder.copy_buffer_to_buffer(source.buffer, source.offset, target.buffer, target.offset, source.size)

    def run(self, commands: list[GpuCommand], reads: list[GpuPiece]) -> Awaitable[list[memoryview]]:
        total = sum(piece.size for piece in reads)

        def submitted() -> Any:
            encoder = self._encode(commands)
            staging = None if total == 0 else self.raw.create_buffer(size=total, usage=self.usage.COPY_DST | self.usage.MAP_READ)
            at = 0
            for piece in reads:
                if piece.size > 0:
                    encoder.copy_buffer_to_buffer(piece.buffer, piece.offset, staging, at, piece.size)
                at += piece.size
            self.raw.queue.submit([encoder.finish()])
            return staging

        return self._read(self.guarded(submitted), reads)

    async def _read(self, staging: Any, reads: list[GpuPiece]) -> list[memoryview]:
        if staging is None:
            return [memoryview(b'') for _ in reads]

        def work() -> list[memoryview]:
            staging.map_sync('READ')
            data = staging.read_mapped()
            staging.unmap()
            staging.destroy()
            results: list[memoryview] = []
            at = 0
            for piece in reads:
                results.append(data[at:at + piece.size])
                at += piece.size
            return results

        return self.guarded(work)

    def destroy(self) -> None:
        if not self.lost:
            self.lost = True
            self.raw.destroy()
            self._on_lost('destroyed')

    def guarded(self, work: Callable[[], T]) -> T:
        """work(), its errors as ours."""
        import wgpu

        if self.lost:
            raise EdgeflowError('device-lost', 'the GPU device was lost', {})
        try:
            return work()
        except wgpu.GPUError as error:
            text = str(error)
            # wgpu-native reports it as an error of validation.
            if isinstance(error, wgpu.GPUOutOfMemoryError) or 'Not enough memory' in text:
                raise EdgeflowError('out-of-memory', f'the GPU refused memory: {text}', {}) from None
            if 'is lost' in text or 'lost' in text.split():
                self.lost = True
                self._on_lost(text)
                raise EdgeflowError('device-lost', 'the GPU device was lost', {}) from None
            raise EdgeflowError('internal', f'the GPU refused a command: {text}', {}) from None


# Elements that take another number of bytes on the GPU, where they are 32-bit words.
WIDE: dict[str, Any] = {
    'int64': numpy.int64, 'bool': numpy.uint8, 'uint8': numpy.uint8, 'uint16': numpy.uint16, 'int8': numpy.int8, 'int16': numpy.int16,
    'int4': numpy.int8, 'uint4': numpy.uint8,
}


def ops_named(head: memoryview) -> list[str]:
    """The operators of the nodes (NodeProto.op_type) in the first bytes of an ONNX file, perhaps a few names more, and 'past_key_values' if that is there."""
    found = re.finditer(r'"([\x02-\x3f])(?=(\w+))|past_key_values', bytes(head).decode('latin1'), re.ASCII)
    return [match[2][:ord(match[1])] if match[1] else match[0] for match in found]


def narrowed(dtype: str, data: memoryview) -> memoryview | None:
    if dtype not in WIDE:
        return data
    elements = numpy.frombuffer(data, WIDE[dtype])
    words = elements.astype(numpy.int32)
    if dtype == 'int64' and not (words == elements).all():
        return None
    return memoryview(words).cast('B')


def widened(dtype: str, data: memoryview) -> memoryview:
    if dtype not in WIDE:
        return data
    return memoryview(numpy.frombuffer(data, numpy.int32).astype(WIDE[dtype])).cast('B')
