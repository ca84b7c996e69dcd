"""Rarer numeric operators through the whole engine, against onnxruntime and numpy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.node_models import by_edgeflow, check_node, node_model

RANDOM = np.random.default_rng(7)


def real(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def codes(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    low, high = (0, 256) if dtype == np.uint8 else (-128, 128)
    return RANDOM.integers(low, high, shape).astype(dtype)


def scalar(x: float, dtype: type = np.float32) -> np.ndarray:
    return np.array(x, dtype)


GATES = {'RNN': 1, 'GRU': 3, 'LSTM': 4}


@pytest.mark.parametrize('kind, direction, attributes', [
    ('RNN', 'forward', {}), ('RNN', 'bidirectional', {'clip': 0.4}), ('RNN', 'reverse', {'activations': ['Relu']}),
    ('GRU', 'forward', {}), ('GRU', 'bidirectional', {'linear_before_reset': 1}), ('GRU', 'reverse', {'clip': 0.3}),
    ('GRU', 'forward', {'activations': ['HardSigmoid', 'Softsign']}),
    ('LSTM', 'forward', {}), ('LSTM', 'bidirectional', {}), ('LSTM', 'reverse', {'clip': 0.5}), ('LSTM', 'forward', {'input_forget': 1}),
    ('LSTM', 'forward', {'activations': ['HardSigmoid', 'ScaledTanh', 'Tanh'], 'activation_alpha': [0.3, 0.7], 'activation_beta': [0.4, 1.2]}),
])
async def test_recurrent_layers_with_lengths(kind: str, direction: str, attributes: dict) -> None:
    steps, batch, width, hidden = 5, 3, 4, 6
    ways = 2 if direction == 'bidirectional' else 1
    gates = GATES[kind]
    if 'activations' in attributes:
        attributes = {**attributes, 'activations': attributes['activations'] * ways}
    inputs = [
        real(steps, batch, width), real(ways, gates * hidden, width), real(ways, gates * hidden, hidden), real(ways, 2 * gates * hidden),
        np.array([5, 2, 3], np.int32), real(ways, batch, hidden),
    ]
    outputs = ['float32', 'float32']
    if kind == 'LSTM':
        inputs += [real(ways, batch, hidden), real(ways, 3 * hidden)]
        outputs.append('float32')
    await check_node(kind, inputs, outputs, [1, 2, 3], hidden_size=hidden, direction=direction, rtol=1e-4, atol=1e-5, **attributes)


@pytest.mark.parametrize('kind', ['RNN', 'GRU', 'LSTM'])
async def test_recurrent_layers_with_the_batch_first_are_the_others_transposed(kind: str) -> None:
    gates = GATES[kind]
    x, w, r = real(4, 2, 3), real(1, gates * 5, 3), real(1, gates * 5, 5)
    names = {'x0': x, 'x1': w, 'x2': r}
    first = await by_edgeflow(node_model(kind, [x, w, r], ['float32', 'float32'], [], hidden_size=5, opset=22), names)
    again = await by_edgeflow(
        node_model(kind, [x, w, r], ['float32', 'float32'], [], hidden_size=5, layout=1, opset=22), {**names, 'x0': x.swapaxes(0, 1).copy()})
    np.testing.assert_array_equal(again['y0'], first['y0'].transpose(2, 0, 1, 3))
    np.testing.assert_array_equal(again['y1'], first['y1'].transpose(1, 0, 2))


@pytest.mark.parametrize('n', [1, 2, 5, 8, 12, 13, 30, 49])
async def test_fourier_transforms_of_any_length(n: int) -> None:
    signal = real(2, n, 3, 2)
    length = scalar(n, np.int64)
    axis = scalar(1, np.int64)
    complex_signal = signal[..., 0] + 1j * signal[..., 1]

    async def dft(x: np.ndarray, **attributes: int) -> np.ndarray:
        return (await by_edgeflow(node_model('DFT', [x, length, axis], ['float32'], [1, 2], opset=20, **attributes), {'x0': x}))['y0']

    def compare(got: np.ndarray, expected: np.ndarray) -> None:
        parts = expected[..., None] if np.isrealobj(expected) else np.stack([expected.real, expected.imag], -1)
        np.testing.assert_allclose(got, parts, rtol=1e-5, atol=1e-5)

    compare(await dft(signal), np.fft.fft(complex_signal, axis=1))
    compare(await dft(signal, inverse=1), np.fft.ifft(complex_signal, axis=1))
    compare(await dft(signal[..., :1].copy(), onesided=1), np.fft.rfft(signal[..., 0], axis=1))
    half = np.fft.rfft(signal[..., 0], axis=1)
    compare(await dft(np.stack([half.real, half.imag], -1).astype(np.float32), inverse=1, onesided=1), signal[..., 0])


async def test_stft_against_numpy() -> None:
    signal, window = real(2, 50, 1), np.hanning(16).astype(np.float32)
    model = node_model('STFT', [signal, scalar(6, np.int64), window, scalar(16, np.int64)], ['float32'], [1, 3])
    got = (await by_edgeflow(model, {'x0': signal, 'x2': window}))['y0']
    frames = np.stack([signal[:, i : i + 16, 0] * window for i in range(0, 35, 6)], 1)
    expected = np.fft.rfft(frames, axis=2)
    np.testing.assert_allclose(got, np.stack([expected.real, expected.imag], -1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('equation, shapes', [
    ('ij,jk->ik', [(3, 4), (4, 5)]), ('ij,jk', [(3, 4), (4, 5)]), ('bij,bjk->bik', [(2, 3, 4), (2, 4, 5)]), ('ii->i', [(4, 4)]), ('ii', [(4, 4)]),
    ('...ij->...ji', [(2, 3, 4)]), ('ij->', [(3, 4)]), ('i,j->ij', [(3,), (4,)]), ('bhsd,bhtd->bhst', [(2, 3, 4, 5), (2, 3, 6, 5)]),
    ('ab,bc,cd->ad', [(2, 3), (3, 4), (4, 5)]), ('...ij,...jk->...ik', [(2, 1, 3, 4), (5, 4, 6)]), ('i,i->', [(5,), (5,)]),
    ('ijk,ilm,njm,nlk,abc->', [(2, 3, 4), (2, 5, 6), (7, 3, 6), (7, 5, 4), (2, 1, 3)]), ('bij,j->ib', [(2, 3, 4), (4,)]), (' a b , b -> a ', [(3, 4), (4,)]),
])
async def test_einsum_against_numpy(equation: str, shapes: list[tuple[int, ...]]) -> None:
    arrays = [real(*shape) for shape in shapes]
    got = await by_edgeflow(node_model('Einsum', arrays, ['float32'], [], equation=equation), {f'x{i}': x for i, x in enumerate(arrays)})
    np.testing.assert_allclose(got['y0'], np.einsum(equation, *arrays), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('reduction', ['none', 'sum', 'mean'])
@pytest.mark.parametrize('weighted', [False, True])
async def test_losses_against_onnxruntime(reduction: str, weighted: bool) -> None:
    scores, targets = real(3, 5, 2, 4), RANDOM.integers(0, 5, (3, 2, 4))
    targets[0, 0, 0] = -1
    inputs = [scores, targets, *([np.abs(real(5))] if weighted else [])]
    for op in ['NegativeLogLikelihoodLoss', 'SoftmaxCrossEntropyLoss']:
        await check_node(op, inputs, ['float32'], reduction=reduction, ignore_index=-1)


async def test_a_target_out_of_range_is_an_error() -> None:
    from edgeflow.errors import EdgeflowError

    scores, targets = real(3, 5), np.array([0, 5, 1])
    with pytest.raises(EdgeflowError) as error:
        await by_edgeflow(node_model('NegativeLogLikelihoodLoss', [scores, targets], ['float32'], []), {'x0': scores, 'x1': targets})
    assert error.value.code == 'run-failed'


@pytest.mark.parametrize('dtype', [np.float64, np.int32, np.int64])
async def test_products_of_other_types(dtype: type) -> None:
    for a, b in [((2, 1, 3, 4), (5, 4, 2)), ((4,), (4, 3)), ((3, 4), (4,)), ((4,), (4,)), ((2, 0), (0, 3))]:
        x, y = (real(*a) * 9).astype(dtype), (real(*b) * 9).astype(dtype)
        got = await by_edgeflow(node_model('MatMul', [x, y], [x.dtype.name], []), {'x0': x, 'x1': y})
        np.testing.assert_allclose(got['y0'], np.matmul(x, y), rtol=1e-12)


@pytest.mark.parametrize('op', ['Softmax', 'LogSoftmax', 'LayerNormalization', 'Gelu', 'Gemm'])
async def test_float64_is_computed_in_float64(op: str) -> None:
    x, w = real(3, 4).astype(np.float64), real(4).astype(np.float64)
    square = real(4, 4).astype(np.float64)
    inputs = {'LayerNormalization': [x, w], 'Gemm': [x, square, w]}.get(op, [x])
    opset = 20 if op == 'Gelu' else 17
    got = (await by_edgeflow(node_model(op, inputs, ['float64'], [], opset=opset), {f'x{i}': a for i, a in enumerate(inputs)}))['y0']
    exps = np.exp(x - x.max(-1, keepdims=True))
    shifted = x - x.mean(-1, keepdims=True)
    from math import erf

    expected = {
        'Softmax': exps / exps.sum(-1, keepdims=True), 'LogSoftmax': np.log(exps / exps.sum(-1, keepdims=True)), 'Gemm': x @ square + w,
        'LayerNormalization': shifted / np.sqrt((shifted**2).mean(-1, keepdims=True) + np.float32(1e-5)) * w,
        'Gelu': x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2))),
    }[op]
    np.testing.assert_allclose(got, expected, rtol=1e-11)


@pytest.mark.parametrize('n', [1, 2, 3, 7])
async def test_determinants_and_inverses(n: int) -> None:
    x = real(2, 3, n, n)
    got = await by_edgeflow(node_model('Det', [x], ['float32'], []), {'x0': x})
    np.testing.assert_allclose(got['y0'], np.linalg.det(x), rtol=1e-4, atol=1e-5)
    got = await by_edgeflow(node_model('Inverse', [x], ['float32'], [], domain='com.microsoft'), {'x0': x})
    np.testing.assert_allclose(got['y0'], np.linalg.inv(x), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize('op', ['Add', 'Mul', 'Sub', 'Div', 'PRelu'])
async def test_inputs_along_an_axis_as_before_version_7(op: str) -> None:
    x, w = real(2, 3, 4), real(3)
    attributes = {} if op == 'PRelu' else {'broadcast': 1, 'axis': 1}
    got = (await by_edgeflow(node_model(op, [x, w], ['float32'], [], opset=6, **attributes), {'x0': x, 'x1': w}))['y0']
    column = w[:, None]
    expected = {'Add': x + column, 'Mul': x * column, 'Sub': x - column, 'Div': x / column, 'PRelu': np.where(x < 0, x * column, x)}[op]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
