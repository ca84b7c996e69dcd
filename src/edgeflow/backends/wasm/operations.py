"""Small graphs on one shared WASM machine, run at once: what the tensor operations are made of.

Each kind of operation is a graph, made once and planned for each set of input shapes like a model's. All share one
machine, so one heap and one arena.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edgeflow.backends.contract import Feed, MemoryUse
from edgeflow.backends.wasm.executable import WasmExecutable
from edgeflow.backends.wasm.kernels import start_instance
from edgeflow.backends.wasm.machine import WasmMachine
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_of, new_bytes
from edgeflow.host.port import WasmInstance
from edgeflow.ir.dtype import DTYPE_CODES
from edgeflow.ir.graph import Attribute, Graph, Node, TensorData, ValueInfo
from edgeflow.plan.values import Value

OPSET = 21
MOST_GRAPHS = 128
RESULT = 'y'


@dataclass
class Sketch:
    """A graph while it is written down: inputs x0, x1, ..., then node by node. Values are named by their names.

    constants: int64 lists known while planning. reals: further inputs, the same in every run.
    """

    graph: Graph
    constants: dict[str, list[int]] = field(default_factory=dict)
    reals: dict[str, Feed] = field(default_factory=dict)

    def node(self, op: str, inputs: list[str], attributes: dict[str, Attribute] | None = None) -> str:
        """Add a node; the name of its output."""
        name = f'v{len(self.graph.nodes)}'
        self.graph.nodes.append(Node(op, '', '', inputs, [name], attributes if attributes is not None else {}))
        return name

    def cast(self, name: str, dtype: str) -> str:
        """The value as `dtype`."""
        return self.node('Cast', [name], {'to': DTYPE_CODES[dtype]})

    def ints(self, values: list[int]) -> str:
        """A list that shape rules may read."""
        name = f'c{len(self.constants)}'
        self.constants[name] = values
        return name

    def real(self, x: float) -> str:
        """A float64 scalar."""
        name = f'r{len(self.reals)}'
        self.reals[name] = Feed('float64', [], array_of('float64', [x]))
        self.graph.inputs.append(ValueInfo(name, 'float64', []))
        return name


class _Machine(WasmMachine):
    """A machine whose initializers are the constants of the graph that is being planned."""

    def __init__(self, instance: WasmInstance) -> None:
        super().__init__(instance)
        self.constants: dict[str, list[int]] = {}
        self._numbers: int = 0

    def initializer(self, key: str) -> Value:
        values = self.constants[key]
        self._numbers = self._numbers - 1
        value = Value(self._numbers, key, 'int64', [len(values)])
        value.constant = True
        value.literal = values
        return value


@dataclass
class _Operation:
    sketch: Sketch
    executable: WasmExecutable


class Operations:
    """The graphs made so far, and the machine that runs them."""

    def __init__(self, instance: WasmInstance) -> None:
        self._machine = _Machine(instance)
        # The least recently used first.
        self._made: dict[str, _Operation] = {}

    def run(self, key: str, feeds: list[Feed], dtype: str, draw: Callable[[Sketch], str]) -> Feed:
        """Run the graph named `key`, which with these dtypes is always the same: `draw` writes it down when it is new.

        draw gives the name of the result, whose type must be `dtype`. EdgeflowError 'invalid-argument' if the inputs break
        the rules of an operator, 'unsupported-op', 'run-failed', 'out-of-memory'.
        """
        full = ','.join([feed.dtype for feed in feeds]) + ' ' + dtype + ' ' + key
        made = self._made.pop(full, None)
        if made is None:
            made = self._make(feeds, dtype, draw)
        self._made[full] = made
        named: dict[str, Feed] = {}
        for i in range(len(feeds)):
            named[f'x{i}'] = feeds[i]
        for name in made.sketch.reals:
            named[name] = made.sketch.reals[name]
        self._machine.constants = made.sketch.constants
        try:
            return made.executable.run_now(named, [RESULT])[RESULT]
        except EdgeflowError as error:
            if error.code == 'invalid-graph':
                raise EdgeflowError('invalid-argument', error.message, error.details) from None
            raise

    def memory(self) -> MemoryUse:
        """What all of it holds."""
        plans = 0
        for made in self._made.values():
            plans = plans + made.executable.memory().plans
        engine = self._machine.engine
        return MemoryUse(engine.instance.memory_size(), 0, engine.arena_size, plans)

    def memory_size(self) -> int:
        """Bytes of the machine's memory."""
        return self._machine.engine.instance.memory_size()

    def _make(self, feeds: list[Feed], dtype: str, draw: Callable[[Sketch], str]) -> _Operation:
        if len(self._made) >= MOST_GRAPHS:
            oldest = list(self._made.keys())[0]
            self._made.pop(oldest).executable.forget_plans()
        inputs = [ValueInfo(f'x{i}', feeds[i].dtype, None) for i in range(len(feeds))]
        sketch = Sketch(Graph('operation', inputs, [], [], {}, {'': OPSET}))
        last = draw(sketch)
        sketch.graph.nodes.append(Node('Identity', '', '', [last], [RESULT]))
        sketch.graph.outputs.append(ValueInfo(RESULT, dtype, None))
        for name in sketch.constants:
            sketch.graph.initializers[name] = TensorData('int64', [len(sketch.constants[name])], new_bytes(0))
        return _Operation(sketch, WasmExecutable(sketch.graph, self._machine))


async def start_operations() -> Operations:
    """Operations on an instance of their own."""
    return Operations(await start_instance())
