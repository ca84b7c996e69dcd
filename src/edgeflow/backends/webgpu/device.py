"""A GPU device with its compiled kernels."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.backends.webgpu.builder import Dispatch, GpuFeatures
from edgeflow.backends.webgpu.unroll import unrolled
from edgeflow.host.gpu import open_gpu, shader_source
from edgeflow.host.platform import gather
from edgeflow.host.port import GpuDevice

WANTED = ['shader-f16', 'subgroups', 'timestamp-query', 'chromium-experimental-subgroup-matrix', 'packed_4x8_integer_dot_product']


def features_of(device: GpuDevice) -> GpuFeatures:
    """What lowerings may use on this device."""
    has = device.features
    matrix = device.matrix if 'chromium-experimental-subgroup-matrix' in has and 'shader-f16' in has else []
    # Apple's GPUs have no instruction for it: it is many there.
    packed = 'packed_4x8_integer_dot_product' in has and 'apple' not in device.name
    return GpuFeatures(
        'shader-f16' in has, device.subgroup_size if 'subgroups' in has else 0, packed, 'timestamp-query' in has,
        device.limit('maxStorageBufferBindingSize'), device.limit('maxComputeWorkgroupStorageSize'),
        min(device.limit('maxComputeInvocationsPerWorkgroup'), device.limit('maxComputeWorkgroupSizeX')),
        device.limit('maxComputeWorkgroupsPerDimension'), device.limit('maxStorageBuffersPerShaderStage'), device.software, matrix,
    )


class Gpu:
    """The device that all models of this thread share, and the pipelines that were compiled for it, by their label."""

    def __init__(self, device: GpuDevice, losers: list[Callable[[], None]]) -> None:
        """losers: hear of its loss."""
        self.device: GpuDevice = device
        self.features: GpuFeatures = features_of(device)
        self.losers: list[Callable[[], None]] = losers
        self._pipelines: dict[str, object] = {}
        self._forms: dict[str, str] = {}

    def compiled(self, label: str) -> object:
        """A pipeline that compile() has made."""
        return self._pipelines[label]

    def forms(self, label: str) -> str:
        """The forms of its bindings, as GpuDevice.group() takes them."""
        return self._forms[label]

    async def compile(self, dispatches: list[Dispatch]) -> None:
        """Compile the kernels of these dispatches that are not yet, all at once."""
        missing: dict[str, Dispatch] = {}
        for dispatch in dispatches:
            label = dispatch.label()
            if label not in self._pipelines:
                missing[label] = dispatch
        await gather([self._compile(label, dispatch) for label, dispatch in missing.items()])

    async def _compile(self, label: str, dispatch: Dispatch) -> None:
        code = shader_text(dispatch)
        forms = binding_forms(code)
        pipeline = await self.device.pipeline(label, code, dispatch.constants, forms)
        self._forms[label] = forms
        self._pipelines[label] = pipeline


def shader_text(dispatch: Dispatch) -> str:
    """The WGSL of a variant: marks replaced, loops written out (unroll.py), extensions that it uses enabled."""
    text = shader_source(dispatch.kernel)
    for mark in sorted(dispatch.code.keys(), reverse=True):
        text = text.replace(mark, dispatch.code[mark])
    text = unrolled(text)
    head = ''
    if 'f16' in text:
        head = 'enable f16;\n'
    if 'subgroup' in text:
        head = head + 'enable subgroups;\n'
    if 'subgroup_matrix' in text:
        # That a subgroup's number is the same for all of it is not seen.
        head = head + 'enable chromium_experimental_subgroup_matrix;\ndiagnostic(off, chromium.subgroup_matrix_uniformity);\n'
    return head + text


def binding_forms(code: str) -> str:
    """One letter a binding, by its number: u uniform, r read, w read_write."""
    forms: list[str] = []
    for part in code.split('@binding(')[1:]:
        number = int(part[:part.index(')')])
        kind = part[:part.index('>')]
        while len(forms) <= number:
            forms.append('r')
        forms[number] = 'u' if 'uniform' in kind else 'w' if 'read_write' in kind else 'r'
    return ''.join(forms)


async def open_device() -> Gpu | None:
    """The GPU; None where there is none."""
    losers: list[Callable[[], None]] = []

    def lose(reason: str) -> None:
        for hear in list(losers):
            hear()

    device = await open_gpu(WANTED, lose)
    return None if device is None else Gpu(device, losers)


class _Shared:
    """The device of this thread; opened when it is first asked for, and again when it was lost."""

    def __init__(self) -> None:
        self.gpu: Gpu | None = None


_shared = _Shared()


async def shared_gpu() -> Gpu | None:
    """The device that all models of this thread share; None where there is no GPU."""
    if _shared.gpu is None or _shared.gpu.device.lost:
        _shared.gpu = await open_device()
    return _shared.gpu
