"""Operations on tensors: numpy's meaning, broadcasting and data types.

They are synchronous, so that a synchronous memory scope can tidy up after them; only load_operations() has to be awaited, once: it
fetches their part of edgeflow (tensor_operations.py) and the kernels.
"""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.options import public
from edgeflow.runtime.tensor import Tensor
from edgeflow.runtime.tensor_operations import TensorOperations

_loaded: list[TensorOperations] = []


async def load_operations() -> None:
    """Load the kernels; to be awaited once, before the first operation. Doing it again costs nothing.

    EdgeflowError 'platform', 'http', 'file-missing', 'out-of-memory'.
    """
    from edgeflow.runtime.tensor_operations import start_tensor_operations
    if len(_loaded) == 0:
        started = await start_tensor_operations()
        if len(_loaded) == 0:
            _loaded.append(started)


def loaded() -> TensorOperations:
    """Internal: the operations. EdgeflowError 'not-loaded'."""
    if len(_loaded) == 0:
        raise EdgeflowError('not-loaded', 'expected the kernels of the tensor operations; await load_operations() once before them', {})
    return _loaded[0]


def add(a: Tensor | float | bool, b: Tensor | float | bool) -> Tensor:
    """a + b, broadcast; of two bools: a or b."""
    return loaded().add(a, b)


def sub(a: Tensor | float | bool, b: Tensor | float | bool) -> Tensor:
    """a - b, broadcast. EdgeflowError 'invalid-argument' for two bools, as in numpy."""
    return loaded().sub(a, b)


def mul(a: Tensor | float | bool, b: Tensor | float | bool) -> Tensor:
    """a * b element by element, broadcast; of two bools: a and b."""
    return loaded().mul(a, b)


def div(a: Tensor | float | bool, b: Tensor | float | bool) -> Tensor:
    """a / b, broadcast; of integers or bools in float64. Division by zero gives inf or nan."""
    return loaded().div(a, b)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product over the last two axes, the others broadcast; one axis is a row (a) or a column (b), as in numpy.

    float32 and 16-bit floats run on the matrix kernel. float64 and integers are products summed up, which takes memory for
    every product at once: for small matrices.
    """
    return loaded().matmul(a, b)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis, without overflow; of integers in the float type that holds them."""
    return loaded().softmax(x, axis)


def relu(x: Tensor) -> Tensor:
    """max(x, 0), in the type of x; int64 for bool."""
    return loaded().relu(x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)); of integers in the float type that holds them, as numpy's functions do."""
    return loaded().sigmoid(x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent; of integers in the float type that holds them, as numpy's functions do."""
    return loaded().tanh(x)


@public
def sum(x: Tensor, axis: int | list[int] | None = None, *, keepdims: bool = False) -> Tensor:
    """The sum over one axis, several, or all (None); of bools and integers in 64 bits.

    keepdims: the axes stay, with one element each.
    """
    return loaded().sum(x, axis, keepdims)


@public
def mean(x: Tensor, axis: int | list[int] | None = None, *, keepdims: bool = False) -> Tensor:
    """The mean over one axis, several, or all (None); of bools and integers in float64. Of nothing: nan.

    keepdims: the axes stay, with one element each.
    """
    return loaded().mean(x, axis, keepdims)


@public
def argmax(x: Tensor, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """The index of the first largest element along an axis, or of the flat tensor (None), as int64; a nan is the largest.

    keepdims: the axes stay, with one element each. EdgeflowError 'invalid-argument' where there is no element.
    """
    return loaded().argmax(x, axis, keepdims)


def concat(tensors: list[Tensor], axis: int | None = 0) -> Tensor:
    """Tensors behind one another along an axis (None: flattened first), in the type that holds them all."""
    return loaded().concat(tensors, axis)


def reshape(x: Tensor, shape: int | list[int]) -> Tensor:
    """The same numbers, in the same memory, with another shape; one dim may be -1: as many as are left."""
    return loaded().reshape(x, shape)


def transpose(x: Tensor, axes: list[int] | None = None) -> Tensor:
    """The axes in another order; None: the other way round."""
    return loaded().transpose(x, axes)


def slice(
    x: Tensor, starts: list[int | None], stops: list[int | None] | None = None, steps: list[int | None] | None = None,
) -> Tensor:
    """x[starts[0]:stops[0]:steps[0], starts[1]:...], with Python's rules: negative counts from the end, None is left out.

    The lists may be shorter than the axes: what is not said is taken whole.
    """
    return loaded().slice(x, starts, stops, steps)
