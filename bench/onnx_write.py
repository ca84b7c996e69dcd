"""ONNX files of well-known shapes with random weights, written without the onnx package: bench machines may be bare."""

from __future__ import annotations

import struct

import numpy as np

TYPES = {'float32': 1, 'uint8': 2, 'int64': 7, 'float16': 10}


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, value: int | float | bytes | str) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack('<f', value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _attribute(name: str, value: int | float | str | list[int]) -> bytes:
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, 2)
    if isinstance(value, float):
        return _field(1, name) + _field(2, value) + _field(20, 1)
    if isinstance(value, str):
        return _field(1, name) + _field(4, value) + _field(20, 3)
    return _field(1, name) + b''.join(_field(8, item) for item in value) + _field(20, 7)


class Writer:
    """Collects nodes and initializers."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self._nodes: list[bytes] = []
        self._initializers: list[bytes] = []
        self._infos: dict[int, list[bytes]] = {11: [], 12: []}
        self._count = 0

    def node(self, op: str, inputs: list[str], outputs: int | list[str] = 1, domain: str = '', **attributes: int | float | str | list[int]) -> str:
        """Add a node; returns its first output."""
        self._count += 1
        names = [f'{op}_{self._count}_{i}' for i in range(outputs)] if isinstance(outputs, int) else outputs
        parts = [_field(1, name) for name in inputs] + [_field(2, name) for name in names] + [_field(3, f'{op}_{self._count}'), _field(4, op)]
        parts += [_field(5, _attribute(key, value)) for key, value in attributes.items()] + ([_field(7, domain)] if domain else [])
        self._nodes.append(b''.join(parts))
        return names[0]

    def constant(self, array: np.ndarray) -> str:
        self._count += 1
        name = f'w{self._count}'
        parts = [_field(1, dim) for dim in array.shape] + [_field(2, TYPES[array.dtype.name]), _field(8, name), _field(9, array.tobytes())]
        self._initializers.append(b''.join(parts))
        return name

    def weight(self, *shape: int, scale: float = 0.03) -> str:
        return self.constant((self.rng.standard_normal(shape, np.float32) * scale).astype(np.float32))

    def ones(self, *shape: int) -> str:
        return self.constant(np.ones(shape, np.float32))

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def info(self, name: str, dtype: str, shape: list[int | str], output: bool = False) -> None:
        """An input or output of the graph."""
        dims = b''.join(_field(1, _field(1, dim) if isinstance(dim, int) else _field(2, dim)) for dim in shape)
        kind = _field(1, _field(1, TYPES[dtype]) + _field(2, dims))
        self._infos[12 if output else 11].append(_field(1, name) + _field(2, kind))

    def model(self, opset: int = 20) -> bytes:
        graph = [_field(1, node) for node in self._nodes] + [_field(2, 'bench')] + [_field(5, item) for item in self._initializers]
        graph += [_field(number, item) for number in (11, 12) for item in self._infos[number]]
        return b''.join([_field(1, 10), _field(7, b''.join(graph)), _field(8, _field(1, '') + _field(2, opset)), _field(8, _field(1, 'com.microsoft') + _field(2, 1))])


def bert(layers: int, hidden: int, heads: int, wide: int, vocabulary: int = 30522, positions: int = 512) -> bytes:
    """A BERT encoder: input_ids and attention_mask [batch, sequence] -> last_hidden_state, as exporters write it."""
    w = Writer()
    w.info('input_ids', 'int64', ['batch', 'sequence'])
    w.info('attention_mask', 'int64', ['batch', 'sequence'])
    width = hidden // heads
    words = w.node('Gather', [w.weight(vocabulary, hidden), 'input_ids'])
    length = w.node('Gather', [w.node('Shape', ['input_ids']), w.ints(1)], axis=0)
    places = w.node('Slice', [w.weight(positions, hidden), w.ints(0), length, w.ints(0)])
    norm = lambda x: w.node('LayerNormalization', [x, w.ones(hidden), w.weight(hidden)], axis=-1, epsilon=1e-12)  # noqa: E731
    x = norm(w.node('Add', [w.node('Add', [words, places]), w.weight(hidden)]))
    mask = w.node('Cast', [w.node('Unsqueeze', ['attention_mask', w.ints(1, 2)])], to=1)
    mask = w.node('Mul', [w.node('Sub', [w.constant(np.array(1, np.float32)), mask]), w.constant(np.array(-3.4e38, np.float32))])

    def linear(x: str, k: int, n: int) -> str:
        return w.node('Add', [w.node('MatMul', [x, w.weight(k, n)]), w.weight(n)])

    for _ in range(layers):
        split = lambda x, perm: w.node('Transpose', [w.node('Reshape', [x, w.ints(0, 0, heads, width)])], perm=perm)  # noqa: E731
        q, k, v = (split(linear(x, hidden, hidden), perm) for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
        scores = w.node('Div', [w.node('MatMul', [q, k]), w.constant(np.array(width**0.5, np.float32))])
        context = w.node('MatMul', [w.node('Softmax', [w.node('Add', [scores, mask])], axis=-1), v])
        context = w.node('Reshape', [w.node('Transpose', [context], perm=[0, 2, 1, 3]), w.ints(0, 0, hidden)])
        x = norm(w.node('Add', [linear(context, hidden, hidden), x]))
        x = norm(w.node('Add', [linear(w.node('Gelu', [linear(x, hidden, wide)]), wide, hidden), x]))
    w.node('Identity', [x], ['last_hidden_state'])
    w.info('last_hidden_state', 'float32', ['batch', 'sequence', hidden], output=True)
    return w.model()


def decoder(layers: int, hidden: int, heads: int, groups: int, wide: int, vocabulary: int, positions: int) -> bytes:
    """A decoder in float16 with weights of 4 bits, as onnxruntime-genai writes it (q4f16): grouped queries, their rotary embedding, SwiGLU."""
    w = Writer()
    width = hidden // heads
    half = lambda array: w.constant(array.astype(np.float16))  # noqa: E731
    ones = half(np.ones(hidden))

    def linear(x: str, k: int, n: int, names: int | list[str] = 1) -> str:
        codes = w.constant(w.rng.integers(0, 256, (n, k // 32, 16), np.uint8))
        scales = half(w.rng.uniform(0.5, 1.5, n * k // 32) / (5 * k**0.5))
        return w.node('MatMulNBits', [x, codes, scales], names, domain='com.microsoft', K=k, N=n, bits=4, block_size=32, accuracy_level=4)

    w.info('input_ids', 'int64', ['batch', 'sequence'])
    w.info('attention_mask', 'int64', ['batch', 'total'])
    last = w.node('Cast', [w.node('Sub', [w.node('ReduceSum', ['attention_mask', w.ints(1)], keepdims=0), w.ints(1)])], to=6)
    total = w.node('Cast', [w.node('Gather', [w.node('Shape', ['attention_mask']), w.constant(np.array(1, np.int64))], axis=0)], to=6)
    angles = np.arange(positions)[:, None] * 10000.0 ** -(np.arange(width // 2) / (width // 2))
    tables = [half(np.cos(angles)), half(np.sin(angles))]
    x = w.node('Gather', [half(w.rng.standard_normal((vocabulary, hidden))), 'input_ids'])
    normed = w.node('SimplifiedLayerNormalization', [x, ones], epsilon=1e-5, axis=-1, stash_type=1)
    for layer in range(layers):
        names = [f'{name}.{layer}.{kind}' for name in ('past_key_values', 'present') for kind in ('key', 'value')]
        for i, name in enumerate(names):
            w.info(name, 'float16', ['batch', groups, 'past' if i < 2 else 'total', width], output=i > 1)
        context = w.node('GroupQueryAttention', [linear(normed, hidden, hidden + 2 * groups * width), '', '', *names[:2], last, total, *tables],
                         ['context' + names[0], *names[2:]], domain='com.microsoft', num_heads=heads, kv_num_heads=groups, do_rotary=1)
        added = [f'normed.{2 * layer}', '', '', f'x.{2 * layer}', f'normed.{2 * layer + 1}', '', '', f'x.{2 * layer + 1}']
        w.node('SkipSimplifiedLayerNormalization', [x, linear(context, hidden, hidden), ones], added[:4], domain='com.microsoft', epsilon=1e-5)
        gate = linear(added[0], hidden, wide)
        gate = w.node('Mul', [gate, w.node('Sigmoid', [gate])])
        down = linear(w.node('Mul', [gate, linear(added[0], hidden, wide)]), wide, hidden)
        w.node('SkipSimplifiedLayerNormalization', [added[3], down, ones], added[4:], domain='com.microsoft', epsilon=1e-5)
        normed, x = added[4], added[7]
    linear(normed, hidden, vocabulary, ['logits'])
    w.info('logits', 'float16', ['batch', 'sequence', vocabulary], output=True)
    return w.model()


def resnet18() -> bytes:
    """ResNet-18 (He et al. 2015), its batch norms folded: image [batch, 3, height, width] -> logits [batch, 1000]."""
    w = Writer()
    w.info('image', 'float32', ['batch', 3, 'height', 'width'])
    w.info('logits', 'float32', ['batch', 1000], output=True)

    def conv(x: str, inner: int, outer: int, size: int, stride: int, relu: bool) -> str:
        weights = w.weight(outer, inner, size, size, scale=(2 / (inner * size * size)) ** 0.5)
        y = w.node('Conv', [x, weights, w.weight(outer)], strides=[stride] * 2, pads=[size // 2] * 4, kernel_shape=[size] * 2)
        return w.node('Relu', [y]) if relu else y

    x = w.node('MaxPool', [conv('image', 3, 64, 7, 2, True)], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    inner = 64
    for outer in (64, 128, 256, 512):
        for block in range(2):
            stride = 2 if outer > 64 and block == 0 else 1
            y = conv(conv(x, inner, outer, 3, stride, True), outer, outer, 3, 1, False)
            skip = x if stride == 1 else conv(x, inner, outer, 1, stride, False)
            x = w.node('Relu', [w.node('Add', [y, skip])])
            inner = outer
    w.node('Gemm', [w.node('Flatten', [w.node('GlobalAveragePool', [x])]), w.weight(512, 1000), w.weight(1000)], ['logits'])
    return w.model(17)
