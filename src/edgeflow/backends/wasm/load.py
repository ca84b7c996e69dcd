"""From the reader's graph to one that is ready to be planned: parts, passes, weights in their place."""

from __future__ import annotations

from edgeflow.backends.ahead import start_ahead
from edgeflow.backends.rests import Rests
from edgeflow.backends.wasm.executable import WasmExecutable
from edgeflow.backends.wasm.kernels import Image, add_more, kernel_module, start_instance
from edgeflow.backends.wasm.lowerings import VISION_OPS, lacks, needs_more, operators_of
from edgeflow.backends.wasm.machine import WasmMachine, check_operators
from edgeflow.host.platform import join_bytes, new_bytes, start_task
from edgeflow.ir.graph import Graph, TensorData
from edgeflow.passes import absorb_transposes, constants_to_initializers, eliminate_dead_nodes
from edgeflow.passes.fold_constants import fold_constants
from edgeflow.passes.pipeline import pass_steps
from edgeflow.passes.rename import all_graphs
from edgeflow.plan.planner import initializer_key, scope_key


async def load_wasm(graph: Graph, rests: Rests, shares: int = 1, image: Image | None = None) -> WasmExecutable:
    """Run the passes over `graph`, put its weights into WASM memory, and let go of the file they came from.

    image: where the file lies already, if its large initializers are `stored` there. EdgeflowError 'unsupported-op' names the first operator that WASM does not have.
    """
    machine = await open_machine(graph, shares, image)
    if machine.shares > 1:
        start_task(machine.fetch_division)
    await improve(graph, machine, rests)
    check_operators(graph, [])
    texts: dict[str, TensorData] = {}
    take_texts(graph, '', texts)
    for _ in machine.load(graph):
        await rests.rest()
    detach(graph)
    return WasmExecutable(graph, machine, texts)


async def fetch_operators(graph: Graph) -> None:
    """Fetch the parts that know the graph's operators. 'file-missing' if they cannot be had."""
    operators = operators_of(graph)
    if lacks(operators, None):
        start_ahead(lambda: kernel_module(True))
        await fetch_rare()
    elif lacks(operators, VISION_OPS):
        start_ahead(lambda: kernel_module(True))
        from edgeflow.backends.wasm.lower_spatial import install_spatial

        install_spatial()


async def fetch_rare() -> None:
    """Fetch the part of rare operators, and the one whose operators they are made of."""
    from edgeflow.backends.wasm.lower_spatial import install_spatial
    from edgeflow.backends.wasm.more.lowerings import install

    install_spatial()
    install()


async def open_machine(graph: Graph, shares: int = 1, image: Image | None = None) -> WasmMachine:
    """A machine for a graph; with the part and the binary of rare operators, if it has such, and then without the image."""
    for part in all_graphs(graph):
        constants_to_initializers.run(part)
    if not needs_more(graph):
        instance = await start_instance() if image is None else image.instance
        return WasmMachine(await add_more(instance) if lacks(operators_of(graph), VISION_OPS) else instance, shares, image)
    await fetch_rare()
    from edgeflow.backends.wasm.more.expansions import expand

    expand(graph)
    # The image is in an instance without the rare kernels, from where its weights are copied. Helpers lack them too.
    leave_image(graph)
    return WasmMachine(await add_more(await start_instance()))


async def improve(graph: Graph, machine: WasmMachine, rests: Rests) -> None:
    """Run the passes, which compute constants on `machine`."""
    for part in all_graphs(graph):
        absorb_transposes.run(part)
    eliminate_dead_nodes.run(graph)
    fold_constants(graph, machine.fold)
    for _ in pass_steps(graph):
        await rests.rest()
    fold_constants(graph, machine.fold)
    eliminate_dead_nodes.run(graph)


def take_texts(graph: Graph, scope: str, texts: dict[str, TensorData]) -> None:
    """Move the initializers of strings, which no kernel takes, out of the graph and its subgraphs, by their keys."""
    for name in list(graph.initializers.keys()):
        if graph.initializers[name].dtype == 'string':
            texts[initializer_key(scope, name)] = graph.initializers.pop(name)
    for node in graph.nodes:
        for attribute in node.attributes:
            inner = node.attributes[attribute]
            if isinstance(inner, Graph):
                take_texts(inner, scope_key(scope, node, attribute), texts)


def leave_image(graph: Graph) -> None:
    """Make initializers that are stored in an instance's memory views of it, for another instance to copy. That memory must not grow."""
    for part in all_graphs(graph):
        for name in part.initializers:
            data = part.initializers[name]
            stored = data.stored
            if stored is not None:
                part.initializers[name] = TensorData(data.dtype, data.shape, stored.memory.view(stored.address, stored.length))


def detach(graph: Graph) -> None:
    """Replace the tensors of a loaded graph, which are views into the file: initializers by empty ones, attributes by copies."""
    graph.outer = None
    for name in graph.initializers:
        data = graph.initializers[name]
        graph.initializers[name] = TensorData(data.dtype, data.shape, new_bytes(0))
    for node in graph.nodes:
        for name in node.attributes:
            value = node.attributes[name]
            if isinstance(value, TensorData):
                copy = join_bytes([value.whole()])
                node.attributes[name] = TensorData(value.dtype, value.shape, copy, value.strings)
            elif isinstance(value, Graph):
                detach(value)
