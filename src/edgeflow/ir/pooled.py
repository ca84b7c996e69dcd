"""One vector for each text instead of the vectors of its tokens, made where the model runs: then only that travels.

It is asked for as an output whose name says what it is made of; the graph gets it when a run first wants it.
"""

from __future__ import annotations

from edgeflow.ir.graph import Graph, Node, ValueInfo

MASK = 'attention_mask'
_PREFIX = 'edgeflow pooled '


def pooled_name(output: str, first: bool, unit: bool) -> str:
    """Names what is made of `output` [batch, sequence, width]: float32 [batch, width], the mean over the tokens that the input MASK keeps.

    first: the first of them instead. unit: made 1 long.
    """
    return f'{_PREFIX}{(1 if first else 0) + (2 if unit else 0)}{output}'


def is_pooled(name: str) -> bool:
    """Whether a pooled_name()."""
    return name.startswith(_PREFIX)


def add_pooled(graph: Graph, outputs: list[str]) -> bool:
    """Have the graph make those of the outputs that are pooled_name()s; whether that changed it. The lists of nodes and outputs that others hold stay."""
    changed = False
    for name in outputs:
        if is_pooled(name) and name not in [info.name for info in graph.outputs]:
            flags, output = name[len(_PREFIX)], name[len(_PREFIX) + 1:]
            hidden, mask = f'{name} hidden', f'{name} mask'
            graph.nodes = graph.nodes + [
                Node('Cast', '', name, [output], [hidden], {'to': 1}),
                Node('Cast', '', name, [MASK], [mask], {'to': 1}),
                Node('PoolTokens', 'edgeflow', name, [hidden, mask], [name], {'flags': int(flags)}),
            ]
            graph.outputs = graph.outputs + [ValueInfo(name, 'float32', None)]
            changed = True
    return changed
