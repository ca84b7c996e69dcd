"""Convolutions by their GPU lowerings, beside onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeflow.backends.wasm.lower_spatial import install_spatial
from edgeflow.backends.webgpu import lower_conv
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuFeatures
from edgeflow.backends.webgpu.conv_tiles import choose_tiles
from edgeflow.backends.webgpu.products import Division
from tests.gpu.driver import NotTaken, run_node
from tests.gpu.test_dense import filled, hardware

__all__ = ['hardware']

install_spatial()


def reference(op: str, inputs: list[np.ndarray], attributes: dict[str, object]) -> np.ndarray:
    names = ['x', 'w', 'b'][: len(inputs)]
    infos = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, array.shape) for name, array in zip(names, inputs, strict=True)]
    output = onnx.helper.make_tensor_value_info('y', onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph([onnx.helper.make_node(op, names, ['y'], **attributes)], 'g', infos, [output])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 20)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    return session.run(None, dict(zip(names, inputs, strict=True)))[0]


def check(op: str, shape: list[int], weight: list[int], attributes: dict[str, object], bias: bool) -> None:
    rng = np.random.default_rng(sum(shape))
    x = filled(rng, shape)
    w = filled(rng, weight)
    count = weight[0] if op == 'Conv' else weight[1] * int(attributes.get('group', 1))
    inputs = [x, w, filled(rng, [count])] if bias else [x, w]
    expected = reference(op, inputs, attributes)
    [y] = run_node(op, inputs, attributes, opset=20)
    assert y is not None and y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-3)


CONVS = [
    ([1, 3, 9, 11], [8, 3, 3, 3], {'pads': [1, 1, 1, 1]}),
    ([2, 4, 8, 8], [6, 4, 1, 1], {}),
    ([2, 4, 8, 7], [5, 4, 1, 1], {'strides': [2, 2]}),
    ([1, 3, 16, 16], [12, 3, 4, 4], {'strides': [4, 4]}),
    ([1, 8, 7, 7], [8, 1, 3, 3], {'group': 8, 'pads': [1, 1, 1, 1]}),
    ([2, 8, 6, 5], [8, 4, 3, 3], {'group': 2, 'pads': [0, 1, 2, 1], 'dilations': [1, 2]}),
    ([1, 4, 6, 6], [8, 2, 1, 1], {'group': 2}),
    ([1, 4, 20], [8, 4, 5], {'strides': [2], 'pads': [2, 2]}),
    ([2, 6, 33], [6, 1, 4], {'group': 6, 'dilations': [2]}),
    ([1, 3, 10, 10], [70, 3, 3, 3], {'auto_pad': 'SAME_UPPER', 'strides': [2, 2]}),
    ([1, 5, 8, 9], [6, 5, 3, 2], {'auto_pad': 'SAME_LOWER'}),
]


@pytest.mark.parametrize('bias', [False, True])
@pytest.mark.parametrize(('shape', 'weight', 'attributes'), CONVS)
def test_convolutions(shape: list[int], weight: list[int], attributes: dict[str, object], bias: bool) -> None:
    check('Conv', shape, weight, attributes, bias)


@pytest.mark.parametrize(('shape', 'weight', 'attributes'), CONVS)
@pytest.mark.usefixtures('hardware')
def test_convolutions_as_on_a_real_gpu(shape: list[int], weight: list[int], attributes: dict[str, object]) -> None:
    check('Conv', shape, weight, attributes, True)


@pytest.mark.parametrize('division', [Division(8, 1, 16, 8, 16), Division(4, 1, 16, 8, 32, 2), Division(4, 1, 8, 8, 32, 4)], ids=['alone', 'slices', 'four'])
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.usefixtures('hardware')
def test_convolutions_in_tiles(monkeypatch: pytest.MonkeyPatch, division: Division, data: st.DataObject) -> None:
    """Each division, alone and with k shared by workgroups; one image is of NaN, of which nothing must come into others."""
    parts = data.draw(st.sampled_from([1, 2, 3]))
    monkeypatch.setattr(lower_conv, 'choose_tiles', lambda *given: (division, parts))
    axes = data.draw(st.sampled_from([1, 2, 2, 2]))
    draw = lambda low, high: [data.draw(st.integers(low, high)) for _ in range(axes)]  # noqa: E731
    kernel, strides, dilations = draw(1, 4), draw(1, 3), draw(1, 2)
    pads = draw(0, 3) + draw(0, 3)
    size = [(kernel[i] - 1) * dilations[i] + 1 + data.draw(st.integers(0, 12)) for i in range(axes)]
    group = data.draw(st.sampled_from([1, 1, 2, 3]))
    channels, filters = data.draw(st.sampled_from([1, 3, 4, 17])), data.draw(st.sampled_from([4, 5, 33]))
    batch = data.draw(st.integers(1, 2))
    attributes = {'kernel_shape': kernel, 'strides': strides, 'dilations': dilations, 'pads': pads, 'group': group}
    rng = np.random.default_rng(channels)
    x, w, bias = filled(rng, [batch, channels * group, *size]), filled(rng, [filters * group, channels, *kernel]), filled(rng, [filters * group])
    if batch == 2:
        x[0] = np.nan
    [y] = run_node('Conv', [x, w, bias], {**attributes, 'activation': 'relu'}, opset=20)
    expected = np.maximum(reference('Conv', [x, w, bias], attributes), 0)
    assert y is not None
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-3)


@settings(max_examples=15)
@given(kernel=st.tuples(st.integers(1, 5), st.integers(1, 10)), strides=st.tuples(st.integers(1, 3), st.integers(1, 3)), dilation=st.integers(1, 2),
       pads=st.lists(st.integers(0, 3), min_size=4, max_size=4), more=st.tuples(st.integers(0, 9), st.integers(0, 9)), group=st.integers(1, 5),
       filters=st.integers(1, 3), channels=st.integers(1, 2), batch=st.integers(1, 2), bias=st.booleans())
def test_convolutions_of_few_filters(
    kernel: tuple[int, int], strides: tuple[int, int], dilation: int, pads: list[int], more: tuple[int, int], group: int, filters: int, channels: int,
    batch: int, bias: bool,
) -> None:
    size = [(kernel[i] - 1) * dilation + 1 + more[i] for i in range(2)]
    attributes = {'kernel_shape': list(kernel), 'strides': list(strides), 'dilations': [dilation] * 2, 'pads': pads, 'group': group}
    check('Conv', [batch, channels * group, *size], [filters * group, channels, *kernel], attributes, bias)


def test_divisions_of_convolutions() -> None:
    """What was measured as the best for layers of ResNet-18: k shared where there are few places, slices where there are enough workgroups."""
    b = GpuBuilder(None, GpuFeatures(storage=32768))
    chosen = {name: choose_tiles(b, *shape) for name, shape in {
        'first': (64, 12544, 147, 1), 'second': (64, 3136, 576, 1), 'last': (512, 49, 4608, 1), 'eight': (64, 3136, 576, 8), 'narrow': (24, 3136, 576, 8), 'short': (128, 784, 64, 1)}.items()}
    assert chosen == {
        'first': (Division(8, 1, 16, 8, 32, 2), 1), 'second': (Division(8, 1, 16, 8, 16), 8), 'last': (Division(8, 1, 16, 8, 32, 2), 16),
        'eight': (Division(8, 1, 16, 8, 16), 1), 'narrow': (Division(4, 1, 16, 8, 32), 1), 'short': (Division(4, 1, 8, 8, 32, 4), 1)}
    # Adapters with the least memory that there may be.
    assert choose_tiles(GpuBuilder(None, GpuFeatures()), 64, 12544, 147, 1) == (Division(8, 1, 16, 8, 16), 1)


@pytest.mark.parametrize(('shape', 'weight', 'attributes'), [
    ([1, 3, 4, 5], [3, 4, 3, 3], {}),
    ([2, 4, 4, 4], [4, 2, 2, 2], {'strides': [2, 2], 'group': 2}),
    ([1, 2, 5, 5], [2, 3, 3, 3], {'strides': [2, 2], 'pads': [1, 1, 1, 1], 'output_padding': [1, 1]}),
    ([1, 2, 7], [2, 3, 3], {'strides': [3], 'dilations': [2]}),
])
def test_transposed_convolutions(shape: list[int], weight: list[int], attributes: dict[str, object]) -> None:
    check('ConvTranspose', shape, weight, attributes, False)
    check('ConvTranspose', shape, weight, attributes, True)


def test_an_activation_follows_the_bias() -> None:
    rng = np.random.default_rng(0)
    x, w, bias = filled(rng, [1, 3, 6, 6]), filled(rng, [4, 3, 3, 3]), filled(rng, [4])
    [y] = run_node('Conv', [x, w, bias], {'activation': 'relu'})
    np.testing.assert_allclose(y, np.maximum(reference('Conv', [x, w, bias], {}), 0), rtol=1e-3, atol=1e-3)


def test_three_axes_are_left_to_wasm() -> None:
    with pytest.raises(NotTaken):
        run_node('Conv', [np.ones((1, 1, 3, 3, 3), np.float32), np.ones((1, 1, 2, 2, 2), np.float32)])


@pytest.mark.parametrize('channels', [3, 40])
@pytest.mark.parametrize(('x_type', 'w_type', 'zeros'), [(np.uint8, np.int8, 0), (np.uint8, np.uint8, 1), (np.int8, np.uint8, 8)])
def test_convolutions_of_integers_are_exact(channels: int, x_type: type, w_type: type, zeros: int) -> None:
    """Codes at the ends of their range, so that the sums of many channels do not fit a float32; zeros: how many zero points of weights."""
    rng = np.random.default_rng(channels)
    x = rng.choice([np.iinfo(x_type).min, np.iinfo(x_type).max], [1, channels, 7, 6], p=[0.1, 0.9]).astype(x_type)
    w = rng.choice([np.iinfo(w_type).min, np.iinfo(w_type).max - 1, np.iinfo(w_type).max], [8, channels, 3, 3], p=[0.1, 0.4, 0.5]).astype(w_type)
    x_zero = None if zeros == 0 else np.array(3, x_type)
    w_zero = None if zeros == 0 else rng.integers(0, 9, [] if zeros == 1 else [8]).astype(w_type)
    [y] = run_node('ConvInteger', [x, w, x_zero, w_zero], {'pads': [1, 1, 1, 1]}, weights=[1, 3])
    image = np.pad(x.astype(np.int64) - (0 if x_zero is None else int(x_zero)), [(0, 0), (0, 0), (1, 1), (1, 1)])
    filters = w.astype(np.int64) - (0 if w_zero is None else w_zero.astype(np.int64).reshape(-1, 1, 1, 1))
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), (2, 3))
    np.testing.assert_array_equal(y, np.einsum('bchwij,fcij->bfhw', windows, filters))
