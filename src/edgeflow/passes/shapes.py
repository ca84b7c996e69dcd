"""Shapes of all values as far as they can be proved before the input shapes are known.

One walk over the nodes. Dims are numbers or symbols (dims.py); the contents of small tensors (contents.py) are followed
along, since exporters compute the shapes of Reshape and the scale of attention from Shape. The rules err on the side of
"not known": a value without an entry may have any shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from edgeflow.ir.attributes import int_of, tensor_of
from edgeflow.ir.dtype import DTYPE_NAMES, element_count
from edgeflow.ir.elements import elements
from edgeflow.ir.graph import Graph, Node, TensorData
from edgeflow.ir.ops.table import OPS
from edgeflow.passes.contents import (
    LARGEST, Content, Element, apply, cast_content, choose, combine, gather_content, numbers_of, shape_content,
    slice_content,
)
from edgeflow.passes.dims import Dim, declared_dim, same_dims

WHOLE_DTYPES: set[str] = set([
    'int64', 'int32', 'int16', 'int8', 'uint64', 'uint32', 'uint16', 'uint8', 'bool', 'int4', 'uint4',
])


class ShapeTable:
    """What is known of each value. Names are those of the graph that it was made from."""

    def __init__(self, opset: int) -> None:
        self.opset: int = opset
        self.shapes: dict[str, list[Dim]] = {}
        self.contents: dict[str, Content] = {}
        self.dtypes: dict[str, str] = {}

    def shape(self, name: str) -> list[Dim] | None:
        """The shape, None if not even the rank is known."""
        return self.shapes.get(name)

    def rank(self, name: str) -> int:
        """The rank, -1 if it is not known."""
        shape: list[Dim] | None = self.shapes.get(name)
        return -1 if shape is None else len(shape)

    def dtype(self, name: str) -> str:
        """The data type, '' if it is not known."""
        return self.dtypes.get(name, '')

    def last_dim(self, name: str) -> Dim:
        """The last dim, '' if it is not known."""
        shape: list[Dim] | None = self.shapes.get(name)
        return '' if shape is None or len(shape) == 0 else shape[-1]

    def same_shape(self, a: str, b: str) -> bool:
        """Whether two values certainly have one shape."""
        return same_dims(self.shapes.get(a), self.shapes.get(b))

    def whole(self, name: str) -> Content | None:
        """The content of a value of an integer type."""
        content: Content | None = self.contents.get(name)
        return content if content is not None and content.whole else None

    def numbers(self, name: str) -> list[int] | None:
        """All elements of a value of an integer type, if each is known."""
        return numbers_of(self.whole(name))

    def scalar(self, name: str) -> float | None:
        """The one element of a value of any rank, if it is known."""
        content: Content | None = self.contents.get(name)
        if content is None or len(content.values) != 1:
            return None
        value = content.values[0]
        return None if isinstance(value, str) else value

    def set_shape(self, name: str, shape: list[Dim]) -> None:
        """Note a shape; a dim nobody knows becomes the symbol '@axis:name'."""
        if name != '':
            self.shapes[name] = [shape[i] if shape[i] != '' else f'@{i}:{name}' for i in range(len(shape))]

    def add_tensor(self, name: str, tensor: TensorData) -> None:
        """Note a constant."""
        self.shapes[name] = list(tensor.shape)
        self.dtypes[name] = tensor.dtype
        if tensor.dtype != 'string' and element_count(tensor.shape) <= LARGEST:
            self.contents[name] = Content(cast('list[Element]', elements(tensor)), tensor.dtype in WHOLE_DTYPES)

    def add_node(self, node: Node, rules: dict[str, ShapeRule]) -> None:
        """Note what the node's outputs are."""
        rule: ShapeRule | None = rules.get(node.key())
        if rule is not None:
            rule(self, node)
        self.add_dtype(node)
        content: Content | None = self._content(node)
        if content is not None and len(content.values) <= LARGEST:
            self.contents[node.outputs[0]] = content
            if node.key() in VECTOR_OPS and node.outputs[0] not in self.shapes:
                self.set_shape(node.outputs[0], [len(content.values)])

    def add_dtype(self, node: Node) -> None:
        """Note the data type of the node's outputs."""
        key: str = node.key()
        name: str = node.outputs[0] if len(node.outputs) > 0 else ''
        if name == '':
            return
        dtype: str = ''
        if key == 'Cast':
            dtype = DTYPE_NAMES.get(int_of(node, 'to'), '')
        elif key == 'ConstantOfShape':
            value: TensorData | None = tensor_of(node, 'value')
            dtype = value.dtype if value is not None else 'float32'
        elif key in DTYPE_RESULTS:
            dtype = DTYPE_RESULTS[key]
        elif key in OPS:
            source: int = DTYPE_SOURCES.get(key, 0)
            dtype = self.dtype(node.inputs[source]) if 0 <= source < len(node.inputs) else ''
            if dtype == '' and key in ONE_DTYPE_OPS and len(node.inputs) > 1:
                dtype = self.dtype(node.inputs[1])
        if dtype != '':
            self.dtypes[name] = dtype
            if key in SAME_DTYPE_OUTPUTS:
                for other in node.outputs:
                    self.dtypes[other] = dtype

    def _content(self, node: Node) -> Content | None:
        """The content of the node's first output, if its inputs' contents tell it."""
        key: str = node.key()
        if len(node.outputs) == 0 or node.outputs[0] == '' or key not in CONTENT_OPS:
            return None
        if key == 'Shape':
            shape: list[Dim] | None = self.shape(node.inputs[0]) if len(node.inputs) > 0 else None
            return shape_content(node, cast('list[Element]', shape)) if shape is not None else None
        given: list[Content | None] = [self.contents.get(name) for name in node.inputs]
        if key == 'ConstantOfShape':
            return self._filled(node)
        if key == 'Concat':
            return _concatenated(self, node, given)
        first: Content | None = given[0] if len(given) > 0 else None
        if first is None:
            return None
        if key == 'Slice':
            return self._sliced(node, first)
        if key == 'Gather':
            indices: list[int] | None = self.numbers(node.inputs[1]) if len(given) > 1 else None
            return gather_content(first, indices) if indices is not None and self.rank(node.inputs[0]) == 1 else None
        if key == 'Cast':
            return cast_content(first, self.dtype(node.outputs[0]) in WHOLE_DTYPES)
        if key == 'Where':
            second: Content | None = given[1] if len(given) == 3 else None
            third: Content | None = given[2] if len(given) == 3 else None
            return choose(first, second, third) if second is not None and third is not None and self._flat(node) else None
        if key in ALIAS_OPS:
            return first
        if key in UNARY_OPS:
            return apply(key, first)
        other: Content | None = given[1] if len(given) == 2 else None
        return combine(key, first, other) if other is not None and self._flat(node) else None

    def _flat(self, node: Node) -> bool:
        """Whether all inputs are vectors or have one element, so that element i of one meets element i of the other."""
        for name in node.inputs:
            content: Content | None = self.contents.get(name)
            if content is not None and len(content.values) != 1 and self.rank(name) != 1:
                return False
        return True

    def _filled(self, node: Node) -> Content | None:
        dims: list[int] | None = self.numbers(node.inputs[0]) if len(node.inputs) > 0 else None
        if dims is None or len(dims) > 1 or (len(dims) == 1 and (dims[0] < 0 or dims[0] > LARGEST)):
            return None
        value: TensorData | None = tensor_of(node, 'value')
        filler: list[float] = elements(value) if value is not None else [0.0]
        if len(filler) != 1:
            return None
        whole: bool = value is not None and value.dtype in WHOLE_DTYPES
        return Content([filler[0] for _ in range(element_count(dims))], whole)

    def _sliced(self, node: Node, first: Content) -> Content | None:
        if self.rank(node.inputs[0]) != 1 or len(node.inputs) < 3:
            return None
        starts: list[int] | None = self.numbers(node.inputs[1])
        ends: list[int] | None = self.numbers(node.inputs[2])
        steps: list[int] | None = self.numbers(node.inputs[4]) if len(node.inputs) > 4 else [1]
        if starts is None or ends is None or steps is None:
            return None
        return slice_content(first, starts, ends, steps)


ShapeRule = Callable[[ShapeTable, Node], None]

ALIAS_OPS: set[str] = set(['Identity', 'Unsqueeze', 'Squeeze', 'Reshape', 'Flatten'])
UNARY_OPS: set[str] = set(['Sqrt', 'Neg', 'Abs', 'Reciprocal', 'Not'])
VECTOR_OPS: set[str] = set(['Shape', 'Concat', 'Slice'])
CONTENT_OPS: set[str] = set([
    'Identity', 'Unsqueeze', 'Squeeze', 'Reshape', 'Flatten', 'Sqrt', 'Neg', 'Abs', 'Reciprocal', 'Not', 'Shape', 'Concat',
    'Slice', 'ConstantOfShape', 'Gather', 'Cast', 'Where', 'Add', 'Sub', 'Mul', 'Div', 'Pow', 'Equal',
])

DTYPE_RESULTS: dict[str, str] = {
    'Shape': 'int64', 'Size': 'int64', 'Equal': 'bool', 'Greater': 'bool', 'Less': 'bool', 'GreaterOrEqual': 'bool',
    'LessOrEqual': 'bool', 'Not': 'bool', 'And': 'bool', 'Or': 'bool', 'Xor': 'bool', 'IsNaN': 'bool', 'IsInf': 'bool',
    'ArgMax': 'int64', 'ArgMin': 'int64', 'NonZero': 'int64', 'MatMulInteger': 'int32', 'ConvInteger': 'int32',
}

# Which input has the dtype of the first output, where it is not the first one; -1: none.
DTYPE_SOURCES: dict[str, int] = {
    'Where': 1, 'CastLike': 1, 'OneHot': 2, 'LayerNormalization': 1, 'SimplifiedLayerNormalization': 1, 'DequantizeLinear': 1,
    'QuantizeLinear': 2, 'QLinearMatMul': 7, 'Constant': -1, 'EyeLike': -1, 'DynamicQuantizeLinear': -1,
    'com.microsoft:EmbedLayerNormalization': 2, 'com.microsoft:SkipLayerNormalization': 2, 'com.microsoft:SkipSimplifiedLayerNormalization': 2,
    'com.microsoft:Attention': 1, 'com.microsoft:GatherBlockQuantized': 2, 'edgeflow:MatMul': 1, 'edgeflow:QMatMul': 2,
    'edgeflow:BiasAct': 1, 'edgeflow:SkipLayerNorm': 2,
}

ONE_DTYPE_OPS: set[str] = set(['Add', 'Sub', 'Mul', 'Div', 'MatMul', 'Gemm', 'Conv', 'InstanceNormalization', 'Min', 'Max'])

SAME_DTYPE_OUTPUTS: list[str] = ['Split']


def _concatenated(table: ShapeTable, node: Node, given: list[Content | None]) -> Content | None:
    """Vectors one after the other; a vector of known length but unknown elements counts too."""
    values: list[float | str] = []
    whole: bool = True
    for i in range(len(given)):
        part: Content | None = given[i]
        if table.rank(node.inputs[i]) != 1:
            return None
        length: Dim = table.last_dim(node.inputs[i])
        if part is not None:
            values.extend(part.values)
            whole = whole and part.whole
        elif not isinstance(length, str) and length <= LARGEST:
            values.extend(['' for _ in range(length)])
        else:
            return None
    return Content(values, whole)


def infer_dtypes(graph: Graph) -> ShapeTable:
    """The data types alone."""
    table = ShapeTable(1)
    for info in graph.inputs:
        table.dtypes[info.name] = info.dtype
    for name in graph.initializers:
        table.dtypes[name] = graph.initializers[name].dtype
    for node in graph.nodes:
        table.add_dtype(node)
    return table


def infer_shapes(graph: Graph, opset: int, rules: dict[str, ShapeRule]) -> ShapeTable:
    """The table of a graph. Of an outer graph it has the constants and the inputs; symbols of those say nothing, since exporters who merge
    decoders use one for different sizes. `rules`: shape_rules.SHAPE_RULES.
    """
    table = ShapeTable(opset)
    outer = graph.outer
    if outer is not None:
        for name, tensor in outer.initializers.items():
            table.add_tensor(name, tensor)
        for info in outer.inputs:
            table.dtypes[info.name] = info.dtype
            if info.shape is not None:
                table.set_shape(info.name, ['' if isinstance(dim, str) else dim for dim in info.shape])
    for name, tensor in graph.initializers.items():
        table.add_tensor(name, tensor)
    for info in graph.inputs:
        if info.dtype != '':
            table.dtypes[info.name] = info.dtype
        if info.shape is not None:
            table.set_shape(info.name, [declared_dim(dim) for dim in info.shape])
    for node in graph.nodes:
        if len(node.outputs) > 0:
            table.add_node(node, rules)
    return table
