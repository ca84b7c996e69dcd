"""All lowerings of the WASM backend by Node.key(), and which weights they want packed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.backends.wasm.lower_attention import ATTENTION_LOWERINGS, attention_form
from edgeflow.backends.wasm.lower_contrib import CONTRIB_LOWERINGS
from edgeflow.backends.wasm.lower_convert import CONVERT_LOWERINGS
from edgeflow.backends.wasm.lower_decoder import DECODER_LOWERINGS
from edgeflow.backends.wasm.lower_dense import DENSE_LOWERINGS, gemm_form, matmul_form
from edgeflow.backends.wasm.lower_elementwise import ELEMENTWISE_LOWERINGS
from edgeflow.backends.wasm.lower_indexing import INDEXING_LOWERINGS
from edgeflow.backends.wasm.lower_movement import MOVEMENT_LOWERINGS
from edgeflow.backends.wasm.lower_quantized import QUANTIZED_LOWERINGS, bnb4_form, i8_form, nbits_form
from edgeflow.backends.wasm.lower_reduce import REDUCE_LOWERINGS
from edgeflow.backends.wasm.weights import FormOf
from edgeflow.ir.graph import Graph, Node
from edgeflow.passes.rename import all_graphs
from edgeflow.passes.shapes import infer_dtypes
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.planner import PLANNED_OPS
from edgeflow.plan.values import Value

if TYPE_CHECKING:
    from typing import TypeVar

    L = TypeVar('L')


def merged(tables: list[dict[str, L]]) -> dict[str, L]:
    """One table of all; a later one wins."""
    found: dict[str, L] = {}
    for table in tables:
        found.update(table)
    return found


LOWERINGS: dict[str, Lowering] = merged([
    ELEMENTWISE_LOWERINGS, MOVEMENT_LOWERINGS, INDEXING_LOWERINGS, REDUCE_LOWERINGS, CONVERT_LOWERINGS, DENSE_LOWERINGS,
    ATTENTION_LOWERINGS, QUANTIZED_LOWERINGS, DECODER_LOWERINGS,
    {'com.microsoft:' + key: lowering for key, lowering in CONTRIB_LOWERINGS.items()},
])

# Asked while weights are loaded: the values of inputs that are no initializers are None.
FORMS: dict[str, FormOf] = {
    'MatMul': matmul_form,
    'Gemm': gemm_form,
    'MatMulInteger': i8_form,
    'edgeflow:MatMul': matmul_form,
    'edgeflow:QMatMul': i8_form,
    'com.microsoft:FusedMatMul': gemm_form,
    'com.microsoft:Attention': attention_form,
    'com.microsoft:MatMulNBits': nbits_form,
    'com.microsoft:MatMulBnb4': bnb4_form,
}


# What the part 'ops' adds: lowerings, and the operators that are interpreted.
MORE_LOWERINGS: dict[str, Lowering] = {}
INTERPRETED: set[str] = set()

# What the part 'vision' has.
VISION_OPS: list[str] = [
    'Conv', 'ConvInteger', 'ConvTranspose', 'MaxPool', 'AveragePool', 'GlobalAveragePool', 'GlobalMaxPool', 'BatchNormalization',
    'GroupNormalization', 'InstanceNormalization', 'Resize', 'Upsample',
]
# What needs no lowering, and what passes replace.
KNOWN_OPS: list[str] = PLANNED_OPS + VISION_OPS + ['Constant']

# Operators of the core whose other types and outputs are in the part.
WIDE_OPS: list[str] = [
    'MatMul', 'Gemm', 'Softmax', 'LogSoftmax', 'LayerNormalization', 'RMSNormalization', 'Gelu', 'BatchNormalization', 'MaxPool', 'Conv',
    'ConvTranspose', 'AveragePool', 'GlobalAveragePool', 'GlobalMaxPool', 'GroupNormalization', 'InstanceNormalization',
]


def lowering_of(key: str, wide: bool = True) -> Lowering | None:
    """The lowering of an operator, as far as the part is here if it is there; None if there is none. wide: whether the second binary is there."""
    core = LOWERINGS.get(key)
    more = MORE_LOWERINGS.get(key)
    if core is not None and more is not None and wide:
        return either(core, more)
    return more if core is None else core


def either(core: Lowering, wide: Lowering) -> Lowering:
    """The core's lowering where all is float32 and there is a single output, else the one that takes more time and more kinds."""
    def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        first = inputs[0]
        plain = first is None or first.dtype == 'float32'
        for value in inputs:
            plain = plain and (value is None or value.dtype != 'float64')
        for i in range(1, len(outputs)):
            plain = plain and outputs[i] is None
        if plain:
            core(b, node, inputs, outputs)
        else:
            wide(b, node, inputs, outputs)

    return lower


def operators_of(graph: Graph) -> set[str]:
    """The operators of the nodes, subgraphs included."""
    found: set[str] = set()
    for part in all_graphs(graph):
        for node in part.nodes:
            found.add(node.key())
    return found


def lacks(operators: set[str], among: list[str] | None) -> bool:
    """Whether one of the operators is one of `among` (None: is in no part but the rare one)."""
    for key in operators:
        if key in among if among is not None else key not in LOWERINGS and key not in KNOWN_OPS:
            return True
    return False


def needs_more(graph: Graph) -> bool:
    """Whether what a node needs, of subgraphs too, is in the part and in the second binary."""
    return lacks(operators_of(graph), None) or _is_wide(graph)


def _is_wide(graph: Graph) -> bool:
    types = infer_dtypes(graph)
    for node in graph.nodes:
        if node.key() in WIDE_OPS:
            for name in node.inputs[:2]:
                if len(node.outputs) > 1 or types.dtype(name) not in ['', 'float32', 'float16', 'bfloat16']:
                    return True
        for attribute in node.attributes.values():
            if isinstance(attribute, Graph) and _is_wide(attribute):
                return True
    return False
