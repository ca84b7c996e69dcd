"""What operations.py gives: operations on tensors, on the same kernels as models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from edgeflow.backends.contract import Feed
from edgeflow.backends.wasm.operations import Sketch
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_of
from edgeflow.ir.dtype import element_count
from edgeflow.runtime.dtypes import fits, float_for, is_float, number_type, promote, promote_all, sum_type
from edgeflow.runtime.tensor import Tensor, describe
from edgeflow.runtime.tensor_creation import TensorCreation
from edgeflow.runtime.tensor_graphs import TensorGraphs, start_graphs

# Beyond every dim: "to the end" for slices, whichever way they go.
FAR = 9007199254740991

# The types that the kernel for matrix products has.
DENSE = ['float32', 'float16', 'bfloat16']


class TensorOperations(TensorCreation):
    """The functions of operations.py, and of creation.py; what they mean is said there."""

    def add(self, a: Tensor | float | bool, b: Tensor | float | bool) -> Tensor:
        pair = _pair(a, b, 'add')
        return self._binary('Or' if pair.dtype == 'bool' else 'Add', pair)

    def sub(self, a: Tensor | float | bool, b: Tensor | float | bool) -> Tensor:
        pair = _pair(a, b, 'sub')
        if pair.dtype == 'bool':
            raise EdgeflowError('invalid-argument', 'sub: expected numbers, got two bool tensors', {})
        return self._binary('Sub', pair)

    def mul(self, a: Tensor | float | bool, b: Tensor | float | bool) -> Tensor:
        pair = _pair(a, b, 'mul')
        return self._binary('And' if pair.dtype == 'bool' else 'Mul', pair)

    def div(self, a: Tensor | float | bool, b: Tensor | float | bool) -> Tensor:
        pair = _pair(a, b, 'div')
        if not is_float(pair.dtype):
            pair.dtype = 'float64'
        return self._binary('Div', pair)

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        left = feed_of(a)
        right = feed_of(b)
        dtype = promote(left.dtype, right.dtype)
        if len(left.shape) == 0 or len(right.shape) == 0:
            raise EdgeflowError('invalid-argument', f'matmul: expected at least one axis each, got {left.shape} and {right.shape}', {})
        if dtype in DENSE:
            return self._graphs.run('MatMul', [left, right], dtype, lambda s: s.node(
                'MatMul', [_cast(s, 'x0', left.dtype, dtype), _cast(s, 'x1', right.dtype, dtype)]))
        inner = right.shape[max(0, len(right.shape) - 2)]
        if left.shape[-1] != inner:
            raise EdgeflowError('invalid-argument', f'matmul: expected {left.shape[-1]} rows in b, got {inner} (shapes {left.shape} and {right.shape})',
                                {'expected': left.shape[-1], 'got': inner})
        row = len(left.shape) == 1
        column = len(right.shape) == 1
        work = 'int64' if dtype == 'bool' else dtype

        def draw(s: Sketch) -> str:
            # [..., M, K, 1] * [..., 1, K, N], summed over K.
            x = s.node('Unsqueeze', [_cast(s, 'x0', left.dtype, work), s.ints([0, 2] if row else [-1])])
            y = s.node('Unsqueeze', [_cast(s, 'x1', right.dtype, work), s.ints([0, 2] if column else [-3])])
            gone: list[int] = []
            if row:
                gone.append(-2)
            if column:
                gone.append(-1)
            total = s.node('ReduceSum', [s.node('Mul', [x, y])], {'axes': [-2], 'keepdims': 0})
            flat = s.node('Squeeze', [total, s.ints(gone)]) if len(gone) > 0 else total
            return _cast(s, flat, work, dtype)

        return self._graphs.run(f'products {row} {column}', [left, right], dtype, draw)

    def softmax(self, x: Tensor, axis: int) -> Tensor:
        feed = feed_of(x)
        dtype = float_for(feed.dtype)
        if len(feed.shape) > 0:
            _axis(axis, len(feed.shape), 'softmax')

        def draw(s: Sketch) -> str:
            value = _cast(s, 'x0', feed.dtype, dtype)
            if dtype in DENSE:
                return s.node('Softmax', [value], {'axis': axis})
            along: list[int] = [axis]
            powers = s.node('Exp', [s.node('Sub', [value, s.node('ReduceMax', [value], {'axes': along})])])
            return s.node('Div', [powers, s.node('ReduceSum', [powers], {'axes': along})])

        return self._graphs.run(f'softmax {axis}', [feed], dtype, draw)

    def relu(self, x: Tensor) -> Tensor:
        feed = feed_of(x)
        if feed.dtype == 'bool':
            return self._graphs.run('int64', [feed], 'int64', lambda s: s.cast('x0', 'int64'))
        whole = feed.dtype.startswith('uint')
        return self._graphs.run('Relu', [feed], feed.dtype, lambda s: 'x0' if whole else s.node('Relu', ['x0']))

    def sigmoid(self, x: Tensor) -> Tensor:
        return self._function('Sigmoid', x)

    def tanh(self, x: Tensor) -> Tensor:
        return self._function('Tanh', x)

    def sum(self, x: Tensor, axis: int | list[int] | None, keepdims: bool) -> Tensor:
        feed = feed_of(x)
        return self._reduce('ReduceSum', feed, sum_type(feed.dtype), axis, keepdims)

    def mean(self, x: Tensor, axis: int | list[int] | None, keepdims: bool) -> Tensor:
        feed = feed_of(x)
        return self._reduce('ReduceMean', feed, feed.dtype if is_float(feed.dtype) else 'float64', axis, keepdims)

    def argmax(self, x: Tensor, axis: int | None, keepdims: bool) -> Tensor:
        feed = feed_of(x)
        rank = len(feed.shape)
        flat = Feed(feed.dtype, [element_count(feed.shape)], feed.data) if axis is None else feed
        along = 0 if axis is None else _axis(axis, rank, 'argmax')
        kept = 1 if keepdims and axis is not None else 0

        def draw(s: Sketch) -> str:
            return s.node('ArgMax', [_cast(s, 'x0', feed.dtype, 'uint8' if feed.dtype == 'bool' else feed.dtype)], {'axis': along, 'keepdims': kept})

        found = self._graphs.run(f'ArgMax {along} {kept}', [flat], 'int64', draw)
        if axis is None and keepdims:
            found.shape = [1] * rank
        return found

    def concat(self, tensors: list[Tensor], axis: int | None) -> Tensor:
        if not isinstance(tensors, (list, tuple)) or len(tensors) == 0:
            raise EdgeflowError('invalid-argument', 'concat: expected a list of at least one tensor', {})
        feeds: list[Feed] = []
        for x in tensors:
            feed = feed_of(x)
            feeds.append(feed if axis is not None else Feed(feed.dtype, [element_count(feed.shape)], feed.data))
        dtype = promote_all([feed.dtype for feed in feeds])
        along = 0 if axis is None else _axis(axis, len(feeds[0].shape), 'concat')

        def draw(s: Sketch) -> str:
            names = [_cast(s, f'x{i}', feeds[i].dtype, dtype) for i in range(len(feeds))]
            return s.node('Concat', names, {'axis': along})

        return self._graphs.run(f'Concat {along}', feeds, dtype, draw)

    def reshape(self, x: Tensor, shape: int | list[int]) -> Tensor:
        feed = feed_of(x)
        given = shape if isinstance(shape, (list, tuple)) else [shape]
        size = element_count(feed.shape)
        known: int = 1
        free = 0
        for dim in given:
            if dim == -1:
                free = free + 1
            else:
                known = known * dim
        fill = size // known if free == 1 and known > 0 else 0
        dims = [fill if dim == -1 else dim for dim in given]
        valid = free <= 1 and not (free == 1 and known == 0)
        for dim in dims:
            if dim < 0 or dim % 1 != 0:
                valid = False
        if not valid or element_count(dims) != size:
            raise EdgeflowError('invalid-argument', f'reshape: expected a shape of {size} elements ({describe(feed.dtype, feed.shape)}), got {given}',
                                {'expected': size, 'got': given})
        return Tensor(feed.dtype, dims, feed.data)

    def transpose(self, x: Tensor, axes: list[int] | None) -> Tensor:
        feed = feed_of(x)
        rank = len(feed.shape)
        order: list[int] = []
        if axes is None:
            order = [rank - 1 - i for i in range(rank)]
        else:
            for axis in axes:
                order.append(_axis(axis, rank, 'transpose'))
        if sorted(order) != list(range(rank)):
            raise EdgeflowError('invalid-argument', f'transpose: expected each of {rank} axes once, got {axes}', {'got': axes})
        if rank == 0:
            return self._graphs.run('Identity', [feed], feed.dtype, lambda s: 'x0')
        return self._graphs.run(f'Transpose {order}', [feed], feed.dtype, lambda s: s.node('Transpose', ['x0'], {'perm': order}))

    def slice(self, x: Tensor, starts: list[int | None], stops: list[int | None] | None, steps: list[int | None] | None) -> Tensor:
        feed = feed_of(x)
        rank = len(feed.shape)
        ends = stops if stops is not None else []
        strides = steps if steps is not None else []
        if max(len(starts), len(ends), len(strides)) > rank:
            raise EdgeflowError('invalid-argument', f'slice: expected ranges for at most {rank} axes, got {max(len(starts), len(ends), len(strides))}', {})
        begin: list[int] = []
        end: list[int] = []
        step: list[int] = []
        for i in range(rank):
            stride = strides[i] if i < len(strides) else None
            by = 1 if stride is None else stride
            if by == 0:
                raise EdgeflowError('invalid-argument', 'slice: expected steps other than 0', {})
            first = starts[i] if i < len(starts) else None
            last = ends[i] if i < len(ends) else None
            begin.append(first if first is not None else 0 if by > 0 else FAR)
            end.append(last if last is not None else FAR if by > 0 else -FAR)
            step.append(by)
        axes = list(range(rank))
        if rank == 0:
            return self._graphs.run('Identity', [feed], feed.dtype, lambda s: 'x0')
        return self._graphs.run(f'Slice {begin} {end} {step}', [feed], feed.dtype, lambda s: s.node(
            'Slice', ['x0', s.ints(begin), s.ints(end), s.ints(axes), s.ints(step)]))

    def _binary(self, op: str, pair: _Pair) -> Tensor:
        def draw(s: Sketch) -> str:
            return s.node(op, [_cast(s, 'x0', pair.left.dtype, pair.dtype), _cast(s, 'x1', pair.right.dtype, pair.dtype)])

        return self._graphs.run(op, [pair.left, pair.right], pair.dtype, draw)

    def _function(self, op: str, x: Tensor) -> Tensor:
        feed = feed_of(x)
        dtype = float_for(feed.dtype)
        return self._graphs.run(op, [feed], dtype, lambda s: s.node(op, [_cast(s, 'x0', feed.dtype, dtype)]))

    def _reduce(self, op: str, feed: Feed, dtype: str, axis: int | list[int] | None, keepdims: bool) -> Tensor:
        rank = len(feed.shape)
        axes: list[int] = []
        if axis is None:
            axes = list(range(rank))
        elif isinstance(axis, (list, tuple)):
            for one in axis:
                axes.append(_axis(one, rank, op))
        else:
            axes.append(_axis(axis, rank, op))

        def draw(s: Sketch) -> str:
            value = _cast(s, 'x0', feed.dtype, dtype)
            return value if len(axes) == 0 else s.node(op, [value], {'axes': axes, 'keepdims': 1 if keepdims else 0})

        return self._graphs.run(f'{op} {axes} {keepdims}', [feed], dtype, draw)


async def start_tensor_operations() -> TensorOperations:
    """All operations, with a machine of their own. EdgeflowError: those of start_graphs()."""
    return TensorOperations(TensorGraphs(await start_graphs()))


@dataclass
class _Pair:
    """Two operands, and the type in which they meet."""

    left: Feed
    right: Feed
    dtype: str


def _pair(a: Tensor | float | bool, b: Tensor | float | bool, where: str) -> _Pair:
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        a = Tensor('float32', [], array_of('float32', [_number(a, where)]))
    if isinstance(a, Tensor):
        left = feed_of(a)
        right = feed_of(b) if isinstance(b, Tensor) else _number_feed(b, a.dtype, where)
    else:
        right = feed_of(cast(Tensor, b))
        left = _number_feed(a, right.dtype, where)
    return _Pair(left, right, promote(left.dtype, right.dtype))


def _number(x: object, where: str) -> float | bool:
    if not isinstance(x, (bool, int, float)):
        raise EdgeflowError('invalid-argument', f'{where}: expected tensors or numbers, got something else', {})
    return x


def _number_feed(x: object, other: str, where: str) -> Feed:
    value = _number(x, where)
    dtype = number_type(value, other)
    if not fits(value, dtype):
        raise EdgeflowError('invalid-argument', f'{where}: expected a number that {dtype} holds, got {value}', {'got': value, 'dtype': dtype})
    return Feed(dtype, [], array_of(dtype, [value]))


def feed_of(x: Tensor) -> Feed:
    if not isinstance(x, Tensor):
        raise EdgeflowError('invalid-argument', 'expected a tensor, as tensor() makes them', {})
    return Feed(x.dtype, x.shape, x.data)


def _cast(s: Sketch, name: str, given: str, wanted: str) -> str:
    return name if given == wanted else s.cast(name, wanted)


def _axis(axis: int, rank: int, where: str) -> int:
    """An axis counted from the front."""
    if axis % 1 != 0 or axis < -rank or axis >= rank:
        raise EdgeflowError('invalid-argument', f'{where}: expected an axis from {-rank} to {rank - 1}, got {axis}', {'got': axis, 'rank': rank})
    return axis + rank if axis < 0 else axis
