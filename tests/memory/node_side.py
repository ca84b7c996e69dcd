"""The tensor operations of the built package in Node, called from Python with numpy arrays."""

from __future__ import annotations

import base64
import json
import math
import subprocess
from pathlib import Path

import numpy as np

from edgeflow import EdgeflowError, Tensor

SCRIPT = Path(__file__).with_name('operations_node.mjs')


def packed(x: object) -> object:
    """An argument as JSON."""
    if isinstance(x, np.ndarray):
        return {'dtype': x.dtype.name, 'shape': list(x.shape), 'data': base64.b64encode(np.ascontiguousarray(x).tobytes()).decode()}
    if isinstance(x, list):
        return [packed(item) for item in x]
    if isinstance(x, float) and not math.isfinite(x):
        return {'number': 'NaN' if math.isnan(x) else 'Infinity' if x > 0 else '-Infinity'}
    return x


def to_numpy(x: Tensor) -> np.ndarray:
    return np.asarray(x.data).reshape(x.shape)


class NodeSide:
    """One Node process."""

    def __init__(self, bundle: Path) -> None:
        self.process = subprocess.Popen(
            ['node', str(SCRIPT), bundle.as_uri()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.tensors = 0

    def call(self, name: str, *args: object) -> np.ndarray:
        """The result of an operation; its EdgeflowError is raised."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({'name': name, 'args': [packed(x) for x in args]}) + '\n')
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        self.tensors = answer['tensors']
        if 'error' in answer:
            raise EdgeflowError(answer['error'], answer['error'])
        dtype = np.dtype(answer['dtype'])
        return np.frombuffer(base64.b64decode(answer['data']), dtype).reshape(answer['shape'])

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=10)
