"""An If whose condition is a constant is replaced by the branch it takes, so that shapes are known beyond it."""

from __future__ import annotations

from edgeflow.ir.elements import elements
from edgeflow.ir.graph import Attribute, Graph, Node, TensorData
from edgeflow.ir.order import captured_names
from edgeflow.ir.renaming import new_name, renamed
from edgeflow.passes.rename import all_graphs


def deciding_inputs(graph: Graph) -> list[str]:
    """Inputs that are the condition of an If, as exporters merge two decoders into one: a plan is made for each of their values."""
    conditions: set[str] = set()
    for part in all_graphs(graph):
        for node in part.nodes:
            if node.key() == 'If':
                conditions.add(node.inputs[0])
    return [info.name for info in graph.inputs if info.name in conditions]


def run(graph: Graph) -> bool:
    """Inline every such If of the graph, also those inside of inlined branches."""
    changed: bool = False
    nodes: list[Node] = []
    waiting: list[Node] = list(graph.nodes)
    waiting.reverse()
    while len(waiting) > 0:
        node: Node = waiting.pop()
        branch: Graph | None = _taken(node, graph)
        if branch is None:
            nodes.append(node)
            continue
        changed = True
        inlined: list[Node] = _inline(node, branch, graph)
        inlined.reverse()
        waiting.extend(inlined)
    if changed:
        graph.nodes = nodes
    return changed


def _taken(node: Node, graph: Graph) -> Graph | None:
    """The branch that is always taken; None if that depends on an input."""
    if node.key() != 'If' or len(node.inputs) != 1:
        return None
    condition: TensorData | None = graph.initializers.get(node.inputs[0])
    if condition is None or condition.dtype != 'bool' or len(condition.data) != 1:
        return None
    branch: Attribute | None = node.attributes.get('then_branch' if elements(condition)[0] != 0 else 'else_branch')
    if not isinstance(branch, Graph) or len(branch.outputs) < len(node.outputs):
        return None
    return branch


def _inline(node: Node, branch: Graph, graph: Graph) -> list[Node]:
    """The branch's nodes, their values named for the outer graph."""
    prefix: str = node.outputs[0] + '/'
    names: dict[str, str] = {'': ''}
    for name in captured_names(branch):
        names[name] = name
    made: set[str] = set()
    for inner in branch.nodes:
        made.update(inner.outputs)
    copies: list[Node] = []
    for i in range(len(node.outputs)):
        source: str = branch.outputs[i].name
        if node.outputs[i] == '':
            continue
        if source in made and source not in names:
            names[source] = node.outputs[i]
        else:
            copies.append(Node('Identity', '', node.name, [source], [node.outputs[i]]))
    for name, tensor in branch.initializers.items():
        graph.initializers[new_name(name, names, prefix)] = tensor
    for copy in copies:
        copy.inputs[0] = new_name(copy.inputs[0], names, prefix)
    return [renamed(inner, names, prefix) for inner in branch.nodes] + copies
