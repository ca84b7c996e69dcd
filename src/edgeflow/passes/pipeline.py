"""The ordered list of passes. A pass takes a graph, changes it, and says whether it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgeflow.errors import EdgeflowError
from edgeflow.ir.graph import Graph
from edgeflow.passes import (
    constants_to_initializers, eliminate_dead_nodes, eliminate_identities, fold_shapes, fuse_bias_activation,
    fuse_cached_attention, fuse_flat_sdpa, fuse_gelu, fuse_layer_norm, fuse_matmul, fuse_qmatmul, fuse_rms_norm, fuse_rotary, fuse_sdpa, fuse_skip_layer_norm,
    fuse_transposes, inline_constant_if, merge_equal_nodes, narrow_masks,
)
from edgeflow.passes.rename import all_graphs
from edgeflow.passes.shape_rules import shapes_of
from edgeflow.passes.shapes import ShapeTable

Pass = Callable[[Graph, ShapeTable], bool]

# Before this version inputs may lie along any axis of others, which no pass knows: such models run as they are.
NUMPY_BROADCASTING = 7

MERGE: tuple[str, Pass] = ('merge_equal_nodes', lambda graph, table: merge_equal_nodes.run(graph))

# fold_constants stands apart: it needs a backend's kernels, and runs before these, which need no shapes and leave less to find them for.
FIRST: list[tuple[str, Pass]] = [('constants_to_initializers', lambda graph, table: constants_to_initializers.run(graph)), MERGE]

SIMPLIFICATIONS: list[tuple[str, Pass]] = [('eliminate_identities', eliminate_identities.run), ('fold_shapes', fold_shapes.run), MERGE]

# An inlined branch is simplified like the rest, and may make the conditions of further branches known.
INLINING: tuple[str, Pass] = ('inline_constant_if', lambda graph, table: inline_constant_if.run(graph))

DEAD: tuple[str, Pass] = ('eliminate_dead_nodes', lambda graph, table: eliminate_dead_nodes.run(graph))

# A decoder's attention makes the shapes behind it known: no others say that its scores have as many columns as past and new tokens.
ATTENTION: list[tuple[str, Pass]] = [DEAD, ('fuse_rotary', fuse_rotary.run), ('fuse_cached_attention', fuse_cached_attention.run)]

FUSIONS: list[tuple[str, Pass]] = [
    DEAD,
    ('fuse_transposes', fuse_transposes.run),
    ('fuse_layer_norm', fuse_layer_norm.run),
    ('fuse_rms_norm', fuse_rms_norm.run),
    ('fuse_gelu', fuse_gelu.run),
    ('fuse_sdpa', fuse_sdpa.run),
    ('fuse_flat_sdpa', fuse_flat_sdpa.run),
    ('narrow_masks', narrow_masks.run),
    ('fuse_matmul', fuse_matmul.run),
    ('fuse_qmatmul', fuse_qmatmul.run),
    ('fuse_skip_layer_norm', fuse_skip_layer_norm.run),
    ('fuse_bias_activation', fuse_bias_activation.run),
    DEAD,
]


class PassRun:
    """Passes on one graph and its subgraphs, with what is known of their shapes. `done`: the passes that ran."""

    def __init__(self, graph: Graph, after: Callable[[str], None] | None) -> None:
        self.graph: Graph = graph
        self.after: Callable[[str], None] | None = after
        self.opset: int = graph.opsets.get('', 1)
        self.parts: list[Graph] = all_graphs(graph)
        # Until find_shapes() nothing is known.
        self.tables: list[ShapeTable] = [ShapeTable(self.opset) for _ in self.parts]
        self.done: list[str] = []

    def find_shapes(self) -> None:
        """Make the tables anew. Passes may drop values later, and subgraphs, but do not give a name another meaning."""
        self.parts = all_graphs(self.graph)
        for part in self.parts[1:]:
            part.outer = self.graph
        self.tables = [shapes_of(part, self.opset) for part in self.parts]

    def run_one(self, one: tuple[str, Pass]) -> bool:
        """Run one pass, with its name. An error says which passes had already run."""
        name, run = one
        changed: bool = False
        try:
            for i in range(len(self.parts)):
                if run(self.parts[i], self.tables[i]):
                    changed = True
            if self.after is not None:
                self.after(name)
        except EdgeflowError as error:
            passed: str = ', '.join(self.done) if len(self.done) > 0 else 'none'
            message: str = f'{error.message} (in pass {name}; passes that ran: {passed})'
            raise EdgeflowError(error.code, message, error.details) from error
        self.done.append(name)
        return changed


def run_passes(graph: Graph, after: Callable[[str], None] | None = None) -> bool:
    """Run every pass on the graph and its subgraphs. True if anything changed.

    after: called with each pass's name when it is through (tests verify the graph there). EdgeflowError 'invalid-graph'
    where a node's attributes are not what its operator asks for.
    """
    changed: bool = False
    for one in pass_steps(graph, after):
        changed = one or changed
    return changed


def pass_steps(graph: Graph, after: Callable[[str], None] | None = None) -> Iterator[bool]:
    """run_passes() with a halt after each pass, which gives whether it changed anything."""
    passes = PassRun(graph, after)
    yield passes.run_one(FIRST[0])
    if graph.opsets.get('', NUMPY_BROADCASTING) < NUMPY_BROADCASTING:
        return
    yield passes.run_one(MERGE)
    for one in _simplified(passes):
        yield one
    while passes.run_one(INLINING):
        yield True
        passes.find_shapes()
        for step in FIRST:
            passes.run_one(step)
        for one in _simplified(passes):
            yield one
    changed: bool = False
    for step in ATTENTION:
        changed = passes.run_one(step)
        yield changed
    if changed:
        for one in _simplified(passes):
            yield one
    for step in FUSIONS:
        yield passes.run_one(step)


def _simplified(passes: PassRun) -> Iterator[bool]:
    """What the shapes as they are known now allow."""
    passes.find_shapes()
    for step in SIMPLIFICATIONS:
        yield passes.run_one(step)
