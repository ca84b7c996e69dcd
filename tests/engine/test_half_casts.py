"""A Cast to float16 within a graph rounds, though what it gives is held as float32."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgeflow.runtime.model import create_model
from edgeflow.runtime.tensor import tensor


async def test_a_cast_to_float16_within_a_graph_keeps_its_digits() -> None:
    there = [helper.make_node('Cast', ['x'], ['h'], to=TensorProto.FLOAT16), helper.make_node('Cast', ['h'], ['y'], to=TensorProto.FLOAT)]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ['n']) for name in ['x', 'y']]
    proto = helper.make_model(helper.make_graph(there, 'g', infos[:1], infos[1:]), opset_imports=[helper.make_opsetid('', 17)])
    onnx.checker.check_model(proto)
    x = np.array([1 / 3, -1e5, 65504, 65519.9, 2049, 2051, 0.1, 3e-5, 8.9e-8, -1e-9, np.nan, np.inf], np.float32)
    model = await create_model(memoryview(proto.SerializeToString()), {}, 'wasm')
    y = (await model.run({'x': tensor(x)}))['y'].data
    model.dispose()
    with np.errstate(over='ignore'):
        np.testing.assert_array_equal(y, x.astype(np.float16).astype(np.float32))
