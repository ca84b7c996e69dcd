"""Run cases in this process: on the WASM kernels through wasmtime, or on a GPU through wgpu-py."""

from __future__ import annotations

import asyncio

import numpy as np

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes
from edgeflow.runtime.model import create_model
from edgeflow.runtime.tensor import Tensor, tensor
from tests.conformance.cases import Case, complaint
from tests.conformance.values import Plain, Value

SECONDS = 30


def given(value: Value) -> object:
    """A value as edgeflow takes it."""
    if value is None:
        return None
    if isinstance(value, list):
        return [given(x) for x in value]
    if value.dtype == 'string':
        return tensor(value.data, value.shape, dtype='string')
    return tensor(np.frombuffer(value.data, value.storage()), value.shape, dtype=value.dtype)


def taken(value: object) -> Value:
    """A value that edgeflow gave."""
    if isinstance(value, list):
        return [taken(x) for x in value]
    if not isinstance(value, Tensor):
        return None
    if value.dtype == 'string':
        return Plain('string', value.shape, list(value.data))
    return Plain(value.dtype, value.shape, bytes(array_bytes(value.data)))


async def run_case(case: Case, device: str) -> tuple[str | None, bool]:
    """Why the case fails, None if it passes; and whether all of it ran on the device."""
    model = await create_model(memoryview(case.model), {}, device)
    try:
        for i, (inputs, _) in enumerate(case.runs):
            results = await model.run({name: given(x) for name, x in inputs.items()})
            wrong = complaint(case, i, {name: taken(x) for name, x in results.items()})
            if wrong is not None:
                return wrong, False
        placement = model.placement()
    finally:
        model.dispose()
    return None, placement.device == device and len(placement.fallback) == 0


def judge(case: Case, device: str = 'wasm', *, trace: bool = False) -> tuple[str | None, bool]:
    """As run_case(), whatever happens. trace: errors are not caught."""
    try:
        return asyncio.run(asyncio.wait_for(run_case(case, device), SECONDS))
    except EdgeflowError as error:
        if trace:
            raise
        return f'{error.code}: {error.message}', False
    except Exception as error:
        if trace:
            raise
        return f'crash: {type(error).__name__}: {error}', False
