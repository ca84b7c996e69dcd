"""Renaming of values, subgraphs included."""

from __future__ import annotations

from edgeflow.ir.graph import Graph, Node, ValueInfo


def rename_reads(graph: Graph, names: dict[str, str]) -> None:
    """Let all nodes (and outputs of subgraphs) read `names[x]` where they read x. Chains of names are followed."""
    if len(names) == 0:
        return
    for node in graph.nodes:
        rename_node_reads(node, names)


def rename_node_reads(node: Node, names: dict[str, str]) -> None:
    """The same for one node."""
    inputs: list[str] = node.inputs
    for i in range(len(inputs)):
        if inputs[i] in names:
            inputs[i] = final_name(inputs[i], names)
    for value in node.attributes.values():
        if isinstance(value, Graph):
            rename_reads(value, names)
            for i in range(len(value.outputs)):
                info: ValueInfo = value.outputs[i]
                if info.name in names:
                    value.outputs[i] = ValueInfo(final_name(info.name, names), info.dtype, info.shape)


def final_name(name: str, names: dict[str, str]) -> str:
    """The end of the chain of names."""
    while name in names:
        name = names[name]
    return name


def all_graphs(graph: Graph) -> list[Graph]:
    """The graph and its subgraphs, outer ones first."""
    found: list[Graph] = [graph]
    for node in graph.nodes:
        for value in node.attributes.values():
            if isinstance(value, Graph):
                found.extend(all_graphs(value))
    return found
