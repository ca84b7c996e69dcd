"""What a matrix product takes along into its last loop: bias, then activation, then residual."""

from __future__ import annotations

from edgeflow.ir.attributes import text_of
from edgeflow.ir.graph import Node
from edgeflow.passes.match import GraphIndex, is_vector, other_input
from edgeflow.passes.shapes import ShapeTable

ACTIVATIONS: dict[str, str] = {'Relu': 'relu', 'Tanh': 'tanh', 'Sigmoid': 'sigmoid', 'com.microsoft:Gelu': 'gelu'}
BIASED: dict[str, str] = {'com.microsoft:BiasGelu': 'gelu', 'com.microsoft:FastGelu': 'gelu_tanh'}


class Epilogue:
    """The nodes found behind a product so far; `output` is the value that the last of them makes."""

    def __init__(self, product: Node) -> None:
        self.parts: list[Node] = [product]
        self.output: str = product.outputs[0]
        self.bias: str = ''
        self.activation: str = ''
        self.residual: str = ''

    def take(self, node: Node) -> None:
        """Add the next node."""
        self.parts.append(node)
        self.output = node.outputs[0]

    def inputs(self) -> list[str]:
        """Bias and residual as the fused node's last inputs."""
        if self.residual != '':
            return [self.bias, self.residual]
        return [self.bias] if self.bias != '' else []


def take_bias(index: GraphIndex, found: Epilogue, columns: int) -> None:
    """An Add of a constant vector of this length, alone or inside of a contrib activation."""
    reader: Node | None = index.only_reader(found.output)
    if reader is None:
        return
    key: str = reader.key()
    if key == 'Add':
        other: str = other_input(reader, found.output)
        if is_vector(index.constant(other), columns):
            found.bias = other
            found.take(reader)
    elif key in BIASED and len(reader.inputs) == 2 and reader.inputs[0] == found.output:
        if is_vector(index.constant(reader.inputs[1]), columns):
            found.bias = reader.inputs[1]
            found.activation = BIASED[key]
            found.take(reader)


def take_activation(index: GraphIndex, found: Epilogue) -> None:
    """One of the activations that the kernels know."""
    if found.activation != '':
        return
    swish: Node | None = _swish(index, found)
    if swish is not None:
        found.activation = 'silu'
        found.take(swish)
        return
    reader: Node | None = index.only_reader(found.output)
    if reader is None or len(reader.inputs) != 1:
        return
    activation: str = activation_of(reader)
    if activation != '':
        found.activation = activation
        found.take(reader)


def activation_of(node: Node) -> str:
    """The activation that a node of one input is; '' if it is none."""
    key: str = node.key()
    if key == 'edgeflow:Gelu' or key == 'Gelu':
        return 'gelu_tanh' if text_of(node, 'approximate', 'none') == 'tanh' else 'gelu'
    if key == 'com.microsoft:FastGelu':
        return 'gelu_tanh'
    return ACTIVATIONS.get(key, '')


def _swish(index: GraphIndex, found: Epilogue) -> Node | None:
    """The Mul of x * sigmoid(x); the Sigmoid joins the parts."""
    readers: list[Node] = index.readers(found.output)
    if len(readers) != 2 or found.output in index.outputs:
        return None
    gate: Node = readers[0] if readers[0].key() == 'Sigmoid' else readers[1]
    product: Node = readers[1] if readers[0].key() == 'Sigmoid' else readers[0]
    if gate.key() != 'Sigmoid' or product.key() != 'Mul' or index.only_reader(gate.outputs[0]) is None:
        return None
    if other_input(product, gate.outputs[0]) != found.output or gate.outputs[0] not in product.inputs:
        return None
    found.parts.append(gate)
    return product


def take_residual(index: GraphIndex, table: ShapeTable, found: Epilogue) -> None:
    """An Add of a value that certainly has the shape of the product."""
    reader: Node | None = index.only_reader(found.output)
    if reader is None or reader.key() != 'Add':
        return
    other: str = other_input(reader, found.output)
    if other != found.output and index.constant(other) is None and table.same_shape(found.output, other):
        found.residual = other
        found.take(reader)
