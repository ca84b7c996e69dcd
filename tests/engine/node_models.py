"""One-node models, run by edgeflow and by onnxruntime on the same bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edgeflow.runtime.model import create_model
from edgeflow.runtime.tensor import tensor

TYPES = {
    'float32': TensorProto.FLOAT, 'float16': TensorProto.FLOAT16, 'int32': TensorProto.INT32, 'int64': TensorProto.INT64,
    'uint8': TensorProto.UINT8, 'int16': TensorProto.INT16, 'int8': TensorProto.INT8, 'bool': TensorProto.BOOL, 'float64': TensorProto.DOUBLE,
}


def node_model(
    op: str, inputs: list[np.ndarray | None], outputs: list[str], constant: list[int], domain: str = '', opset: int = 17,
    **attributes: Any,
) -> bytes:
    """A model of one node. `outputs`: their dtypes ('' leaves one out); `constant`: which inputs are initializers."""
    names = ['' if array is None else f'x{i}' for i, array in enumerate(inputs)]
    made = ['' if dtype == '' else f'y{i}' for i, dtype in enumerate(outputs)]
    graph = helper.make_graph(
        [helper.make_node(op, names, made, name='it', domain=domain, **attributes)],
        'one',
        [helper.make_tensor_value_info(f'x{i}', TYPES[str(x.dtype)], [f'd{i}_{k}' for k in range(x.ndim)])
         for i, x in enumerate(inputs) if x is not None and i not in constant],
        [helper.make_tensor_value_info(f'y{i}', TYPES[dtype], None) for i, dtype in enumerate(outputs) if dtype],
        [numpy_helper.from_array(x, f'x{i}') for i, x in enumerate(inputs) if x is not None and i in constant],
    )
    opsets = [helper.make_opsetid('', opset), helper.make_opsetid('com.microsoft', 1), helper.make_opsetid('ai.onnx.ml', 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def by_onnxruntime(model: bytes, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs that onnxruntime gives, without its optimizations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, ['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


async def by_edgeflow(model: bytes, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs that edgeflow gives."""
    loaded = await create_model(memoryview(model), {}, 'wasm')
    try:
        results = await loaded.run({name: tensor(x) for name, x in feeds.items()})
        return {name: result.data.reshape(result.shape) for name, result in results.items()}
    finally:
        loaded.dispose()


async def check_node(
    op: str, inputs: list[np.ndarray | None], outputs: list[str], constant: list[int] | None = None, *, rtol: float = 1e-5,
    atol: float = 1e-5, **rest: Any,
) -> dict[str, np.ndarray]:
    """Run the node both ways and compare; gives onnxruntime's outputs."""
    given = constant if constant is not None else []
    model = node_model(op, inputs, outputs, given, **rest)
    onnx.load_from_string(model)
    feeds = {f'x{i}': x for i, x in enumerate(inputs) if x is not None and i not in given}
    expected = by_onnxruntime(model, feeds)
    got = await by_edgeflow(model, feeds)
    assert sorted(got) == sorted(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype
        assert got[name].shape == array.shape
        np.testing.assert_allclose(got[name].astype(np.float64), array.astype(np.float64), rtol=rtol, atol=atol)
    return expected
