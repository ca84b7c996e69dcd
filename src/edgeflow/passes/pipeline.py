"""The ordered list of passes. A pass takes a graph, changes it, and says whether it did."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.errors import EdgeflowError
from edgeflow.ir.graph import Graph
from edgeflow.passes import (
    constants_to_initializers, eliminate_dead_nodes, eliminate_identities, fuse_bias_activation, fuse_gelu,
    fuse_layer_norm, fuse_matmul, fuse_qmatmul, fuse_sdpa, fuse_skip_layer_norm, fuse_transposes, merge_equal_nodes,
)
from edgeflow.passes.rename import all_graphs

Pass = Callable[[Graph], bool]

PASSES: list[tuple[str, Pass]] = [
    ('constants_to_initializers', constants_to_initializers.run),
    ('eliminate_identities', eliminate_identities.run),
    ('merge_equal_nodes', merge_equal_nodes.run),
    ('eliminate_dead_nodes', eliminate_dead_nodes.run),
    ('fuse_transposes', fuse_transposes.run),
    ('fuse_layer_norm', fuse_layer_norm.run),
    ('fuse_gelu', fuse_gelu.run),
    ('fuse_sdpa', fuse_sdpa.run),
    ('fuse_matmul', fuse_matmul.run),
    ('fuse_qmatmul', fuse_qmatmul.run),
    ('fuse_skip_layer_norm', fuse_skip_layer_norm.run),
    ('fuse_bias_activation', fuse_bias_activation.run),
    ('eliminate_dead_nodes', eliminate_dead_nodes.run),
]


def run_passes(graph: Graph, after: Callable[[str], None] | None = None) -> bool:
    """Run every pass on the graph and its subgraphs. True if anything changed.

    after: called with each pass's name when it is through (tests verify the graph there). An error says which passes
    had already run.
    """
    changed: bool = False
    done: list[str] = []
    for name, run in PASSES:
        try:
            for part in all_graphs(graph):
                if run(part):
                    changed = True
            if after is not None:
                after(name)
        except EdgeflowError as error:
            passed: str = ', '.join(done) if len(done) > 0 else 'none'
            raise EdgeflowError(error.code, f'{error.message} (in pass {name}; passes that ran: {passed})', error.details) from error
        done.append(name)
    return changed
