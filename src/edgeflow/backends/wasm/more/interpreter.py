"""Runs a graph node by node: where shapes depend on data, and where values are no tensors.

The nodes are computed by the same lowerings and kernels as a plan's steps, each when its inputs are there, so that every
shape is known. What a value needs is freed soon after its last reader has run: now and then whatever no name refers to goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from edgeflow.backends.contract import Feed, KernelTime, RunControl
from edgeflow.backends.wasm.machine import WasmMachine
from edgeflow.backends.wasm.more.table import FLOW, HOST
from edgeflow.backends.wasm.more.tensors import Tensors
from edgeflow.backends.wasm.more.values import Call, Datum, Held, InterpretFlow
from edgeflow.backends.wasm.more.strings import cast_target, cast_text
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_copy, new_array, now, pause
from edgeflow.ir.describe import describe
from edgeflow.ir.graph import Attribute, Graph, Node, TensorData
from edgeflow.ir.order import read_names
from edgeflow.ir.pooled import add_pooled
from edgeflow.plan.planner import initializer_key, memory_dtype, needed_nodes, scope_key
from edgeflow.plan.values import Value

SLICE_MS = 6.0
# Sweep once this much was allocated since the last time, or as much as was in use then.
SWEEP_BYTES = 4194304
SWEEP_COUNT = 512
MOST_DEPTH = 64


class Frame:
    """The values of a graph while it runs; a subgraph sees those of the frames around it."""

    def __init__(self, graph: Graph, key: str, parent: Frame | None) -> None:
        self.graph: Graph = graph
        self.key: str = key
        self.parent: Frame | None = parent
        self.values: dict[str, Datum] = {}
        self.held: list[Datum] = []


class Interpreter:
    """One model that is run in this way. `texts`: its initializers of strings, by planner.initializer_key()."""

    def __init__(self, graph: Graph, machine: WasmMachine, texts: dict[str, TensorData]) -> None:
        self._graph: Graph = graph
        self._machine: WasmMachine = machine
        self._texts: dict[str, TensorData] = texts
        self._t: Tensors = Tensors(machine)
        self._frames: list[Frame] = []
        self._drops: dict[str, list[list[str]]] = {}
        self._memo: dict[str, object] = {}
        self._used: int = 0
        self._kept: int = 0
        self._slice: float = 0.0

    async def run(self, feeds: dict[str, Feed], outputs: list[str], control: RunControl | None, living: Callable[[], WasmMachine]) -> dict[str, Feed]:
        """contract.Executable.run(). living: raises 'disposed' if the model was disposed during a pause."""
        self._slice = now()
        if add_pooled(self._graph, outputs):
            self._drops = {}
        frame = Frame(self._graph, '', None)
        self._frames = [frame]
        try:
            for info in self._graph.inputs:
                if info.name in feeds:
                    frame.values[info.name] = self._enter(feeds[info.name])
            await self._nodes(frame, outputs, control, living)
            results: dict[str, Feed] = {}
            for info in self._graph.outputs:
                if info.name in outputs:
                    results[info.name] = self._leave(self._read(frame, info.name, None), info.dtype)
            return results
        finally:
            self._frames = []
            self._t.end()

    async def _nodes(self, frame: Frame, outputs: list[str], control: RunControl | None, living: Callable[[], WasmMachine]) -> None:
        """Run those nodes of a frame's graph that these outputs need."""
        nodes = frame.graph.nodes
        wanted = needed_nodes(frame.graph, outputs)
        drops = self._dropped(frame)
        for i in range(len(nodes)):
            if not wanted[i]:
                continue
            if self._t.fresh > max(SWEEP_BYTES, self._used) or self._t.count() > SWEEP_COUNT + 2 * self._kept:
                self._sweep()
            if control is not None and now() - self._slice > SLICE_MS:
                await pause()
                living()
                if control.cancelled():
                    raise EdgeflowError('aborted', f'the run was cancelled before {describe(nodes[i])}', {})
                self._slice = now()
            times = None if control is None else control.times
            began = now()
            count = 0 if times is None else len(times)
            await self._node(frame, nodes[i], control, living)
            # What a node's graphs take is told of their nodes.
            if times is not None and len(times) == count:
                times.append(KernelTime('wasm', nodes[i].op, describe(nodes[i]), now() - began))
            for name in drops[i]:
                frame.values.pop(name, None)

    async def _node(self, frame: Frame, node: Node, control: RunControl | None, living: Callable[[], WasmMachine]) -> None:
        inputs: list[Datum | None] = [None if name == '' else self._read(frame, name, node) for name in node.inputs]
        opset = self._graph.opsets.get(node.domain, 1)
        key = node.key()

        async def body(attribute: str, given: list[Datum]) -> list[Datum]:
            return await self._body(frame, node, attribute, given, control, living)

        made: list[Datum | None] = []
        flow: InterpretFlow | None = None
        for table in FLOW:
            flow = table.get(key) if flow is None else flow
        host = HOST.get(key)
        call = Call(node, opset, inputs, self._t, body, frame.held, self._memo)
        before = len(frame.held)
        if flow is not None:
            made = await flow(call)
        elif host is not None:
            made = host(call)
        elif key == 'Identity' and isinstance(inputs[0], Held):
            made = [inputs[0]]
        elif (key == 'Cast' or key == 'CastLike') and _is_textual(call):
            made = cast_text(call, cast_target(call))
        else:
            plain: list[Value | None] = [call.maybe(i) for i in range(len(inputs))]
            made = [*self._t.compute(node, opset, plain)]
        frame.held = frame.held[:before]
        if len(node.outputs) > len(made):
            raise call.invalid(f'at most {len(made)} outputs', f'{len(node.outputs)}')
        for i in range(len(node.outputs)):
            value = made[i]
            if value is not None and node.outputs[i] != '':
                frame.values[node.outputs[i]] = value

    async def _body(
        self, frame: Frame, node: Node, attribute: str, given: list[Datum], control: RunControl | None, living: Callable[[], WasmMachine],
    ) -> list[Datum]:
        graph: Attribute | None = node.attributes.get(attribute)
        if not isinstance(graph, Graph) or len(given) > len(graph.inputs):
            raise EdgeflowError('invalid-graph', f"{describe(node)}: expected a graph with {len(given)} inputs as '{attribute}'", {'node': node.name})
        if len(self._frames) > MOST_DEPTH:
            raise EdgeflowError('invalid-graph', f'{describe(node)}: graphs lie more than {MOST_DEPTH} deep in each other', {'node': node.name})
        inner = Frame(graph, scope_key(frame.key, node, attribute), frame)
        for i in range(len(given)):
            inner.values[graph.inputs[i].name] = given[i]
        self._frames.append(inner)
        names = [info.name for info in graph.outputs]
        await self._nodes(inner, names, control, living)
        outputs = [self._read(inner, name, node) for name in names]
        self._frames.pop()
        return outputs

    def _read(self, frame: Frame, name: str, node: Node | None) -> Datum:
        level: Frame | None = frame
        while level is not None:
            value = level.values.get(name)
            if value is not None:
                return value
            key = initializer_key(level.key, name)
            texts = self._texts.get(key)
            if texts is not None:
                made = self._t.make_texts(texts.shape, texts.strings)
                level.values[name] = made
                return made
            if name in level.graph.initializers:
                return self._machine.initializer(key)
            level = level.parent
        where = 'the graph' if node is None else describe(node)
        raise EdgeflowError('invalid-graph', f"{where} reads '{name}', which nothing has written", {'name': name})

    def _dropped(self, frame: Frame) -> list[list[str]]:
        """For each node of the frame's graph, the values that nobody reads after it."""
        known = self._drops.get(frame.key)
        if known is not None:
            return known
        kept: set[str] = set([info.name for info in frame.graph.outputs])
        drops: list[list[str]] = [[] for _ in frame.graph.nodes]
        for i in range(len(frame.graph.nodes) - 1, -1, -1):
            node = frame.graph.nodes[i]
            for name in read_names(node) + node.outputs:
                if name != '' and name not in kept:
                    kept.add(name)
                    drops[i].append(name)
        self._drops[frame.key] = drops
        return drops

    def _sweep(self) -> None:
        """Free the tensors that nothing refers to."""
        used: set[int] = set()
        for frame in self._frames:
            for value in frame.values.values():
                _mark(value, used)
            for value in frame.held:
                _mark(value, used)
        self._used = self._t.keep_only(used)
        self._kept = self._t.count()

    def _enter(self, feed: Feed) -> Datum:
        if feed.dtype == 'string':
            return self._t.make_texts(feed.shape, cast('list[str]', feed.items))
        if feed.dtype == 'sequence' or feed.dtype == 'none':
            return Held(feed.dtype, [self._enter(item) for item in cast('list[Feed]', feed.items)])
        if feed.dtype == 'map':
            return Held('map', [self._enter(item) for item in cast('list[Feed]', feed.items[:-1])], cast('list[str]', cast('Feed', feed.items[-1]).items))
        return self._t.raw(feed.dtype, feed.shape, feed.data)

    def _leave(self, value: Datum, dtype: str) -> Feed:
        """What the caller gets. `dtype`: as the graph declares it, 'seq(float16)' or 'optional(seq(int64))'."""
        if isinstance(value, Held):
            inner = content_type(dtype)
            items: list[object] = [self._leave(item, inner) for item in value.items]
            if value.kind == 'map':
                items.append(Feed('string', [len(items)], new_array('uint8', 0), cast('list[object]', value.keys)))
            return Feed(value.kind, [len(value.items)], new_array('uint8', 0), items)
        tensor: Value = value
        if tensor.dtype == 'string':
            return Feed('string', tensor.shape, new_array('uint8', 0), cast('list[object]', self._t.strings(tensor)))
        wanted = dtype[9:-1] if dtype[:9] == 'optional(' else dtype
        if wanted != tensor.dtype and memory_dtype(wanted) == tensor.dtype:
            tensor = self._t.converted(tensor, wanted)
        if tensor.root().literal is not None:
            tensor = self._t.make(tensor.dtype, tensor.shape, cast('list[float]', self._t.ints(tensor)))
        return Feed(tensor.dtype, tensor.shape, array_copy(tensor.dtype, self._machine.engine.read_bytes(tensor)))


def _is_textual(c: Call) -> bool:
    return c.value(0).dtype == 'string' or cast_target(c) == 'string'


def content_type(dtype: str) -> str:
    """The type of a sequence's items: 'float32' of 'seq(float32)', of 'optional(seq(float32))'; of a map's values."""
    if dtype[:9] == 'optional(':
        return content_type(dtype[9:-1])
    if dtype[:4] == 'seq(':
        return dtype[4:-1]
    return dtype[dtype.find(',') + 1:-1] if dtype[:4] == 'map(' else dtype


def _mark(value: Datum, used: set[int]) -> None:
    if isinstance(value, Value):
        used.add(value.root().number)
        return
    held: Held = value
    for item in held.items:
        _mark(item, used)
