"""All lowerings of the WASM backend by Node.key(), and which weights they want packed."""

from __future__ import annotations

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
from edgeflow.backends.wasm.lower_spatial import SPATIAL_LOWERINGS
from edgeflow.backends.wasm.more.lower_numeric import NARROWED, WIDE_LOWERINGS, narrowed_lowering
from edgeflow.backends.wasm.more.lowerings import MORE_LOWERINGS
from edgeflow.backends.wasm.weights import FormOf
from edgeflow.ir.graph import Graph, Node
from edgeflow.passes.shapes import infer_dtypes
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.values import Value


def _merged(tables: list[dict[str, Lowering]], contrib: dict[str, Lowering]) -> dict[str, Lowering]:
    merged: dict[str, Lowering] = {}
    for table in tables:
        for key in table:
            merged[key] = table[key]
    for key, lowering in contrib.items():
        merged['com.microsoft:' + key] = lowering
    for key in WIDE_LOWERINGS:
        merged[key] = _either(merged[key], WIDE_LOWERINGS[key])
    for key in NARROWED:
        merged[key] = _either(merged[key], narrowed_lowering(merged[key]))
    return merged


def _either(core: Lowering, wide: Lowering) -> Lowering:
    """The core's lowering where all is float32, else the one that takes more kinds."""
    def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        first = inputs[0]
        plain = first is None or first.dtype == 'float32'
        for value in inputs:
            plain = plain and (value is None or value.dtype != 'float64')
        if plain:
            core(b, node, inputs, outputs)
        else:
            wide(b, node, inputs, outputs)

    return lower


LOWERINGS: dict[str, Lowering] = _merged([
    ELEMENTWISE_LOWERINGS, MOVEMENT_LOWERINGS, INDEXING_LOWERINGS, REDUCE_LOWERINGS, CONVERT_LOWERINGS, DENSE_LOWERINGS,
    ATTENTION_LOWERINGS, QUANTIZED_LOWERINGS, DECODER_LOWERINGS, SPATIAL_LOWERINGS,
] + MORE_LOWERINGS, CONTRIB_LOWERINGS)

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


def needs_more(graph: Graph) -> bool:
    """Whether a node, of subgraphs too, has its kernels in the large binary."""
    types = infer_dtypes(graph)
    for node in graph.nodes:
        if node.key() in WIDE_LOWERINGS or node.key() in NARROWED:
            for name in node.inputs[:2]:
                if types.dtype(name) not in ['', 'float32', 'float16', 'bfloat16']:
                    return True
        for table in MORE_LOWERINGS:
            if node.key() in table:
                return True
        for attribute in node.attributes.values():
            if isinstance(attribute, Graph) and needs_more(attribute):
                return True
    return False
