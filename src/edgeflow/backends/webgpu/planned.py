"""Whether a graph can be planned whatever its inputs hold. If not, WASM interprets it as a whole (backends/wasm/more/interpreter.py)."""

from __future__ import annotations

from edgeflow.backends.wasm.lowerings import INTERPRETED
from edgeflow.ir.dtype import DTYPE_CODES
from edgeflow.ir.graph import Graph, Node
from edgeflow.passes.inline_constant_if import deciding_inputs
from edgeflow.plan.planner import SHAPE_OPS

# The inputs whose elements planning reads.
SHAPE_INPUTS: dict[str, list[int]] = {
    'Reshape': [1], 'Expand': [1], 'Squeeze': [1], 'Unsqueeze': [1], 'Slice': [1, 2, 3, 4], 'Split': [1], 'Pad': [1, 3], 'Tile': [1],
    'ConstantOfShape': [0], 'Range': [0, 1, 2], 'com.microsoft:Range': [0, 1, 2], 'TopK': [1], 'OneHot': [1], 'Resize': [1, 2, 3],
    'Upsample': [1], 'CumSum': [1], 'CumProd': [1], 'Compress': [1], 'CenterCropPad': [1], 'Dropout': [2], 'AffineGrid': [1], 'Col2Im': [1, 2],
    'MaxUnpool': [2], 'DFT': [1, 2], 'STFT': [1, 3], 'BlackmanWindow': [0], 'HammingWindow': [0], 'HannWindow': [0],
    'MelWeightMatrix': [0, 1, 2, 3, 4], 'ReduceSum': [1], 'ReduceMean': [1], 'ReduceMax': [1], 'ReduceMin': [1], 'ReduceProd': [1],
    'ReduceL1': [1], 'ReduceL2': [1], 'ReduceLogSum': [1], 'ReduceLogSumExp': [1], 'ReduceSumSquare': [1], 'NonZero': [0],
}


def can_be_planned(graph: Graph) -> bool:
    """Whether no shape depends on what the graph's inputs hold, and all values are tensors of numbers."""
    for info in graph.inputs:
        if info.dtype == 'string' or info.dtype not in DTYPE_CODES:
            return False
    deciding = deciding_inputs(graph)
    return _follow(graph, set([info.name for info in graph.inputs if info.name not in deciding]))


def _follow(graph: Graph, dependent: set[str]) -> bool:
    """Whether all nodes can be planned; `dependent` is given the values that depend on data."""
    for tensor in graph.initializers.values():
        if tensor.dtype == 'string':
            return False
    for node in graph.nodes:
        if node.key() in INTERPRETED or not _is_known(node, dependent):
            return False
        depends = False
        for name in node.inputs:
            depends = depends or name in dependent
        for value in node.attributes.values():
            if isinstance(value, Graph):
                inner: Graph = value
                # Branches may give the same names to values of their own.
                within: set[str] = set(dependent)
                if not _follow(inner, within):
                    return False
                for info in inner.outputs:
                    depends = depends or info.name in within
        if depends and node.key() not in SHAPE_OPS:
            for name in node.outputs:
                dependent.add(name)
    return True


def _is_known(node: Node, dependent: set[str]) -> bool:
    """Whether planning knows the elements that it asks for."""
    asked = [0] if node.key() == 'If' else SHAPE_INPUTS.get(node.key(), [])
    for i in asked:
        if i < len(node.inputs) and node.inputs[i] in dependent:
            return False
    return True
