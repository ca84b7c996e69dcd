"""What the planner, the passes and the executable need of WASM: the engine with the model's weights and all lowerings.

Implements plan.planner.Machine and plan.builder.Constants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgeflow.backends.wasm.engine import WasmEngine, convert_step
from edgeflow.backends.wasm.kernels import Image
from edgeflow.backends.wasm.lower_dense import product_work
from edgeflow.backends.wasm.lowerings import FORMS, INTERPRETED, lowering_of
from edgeflow.backends.wasm.weights import FormOf, Weights, check_data, upload
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import copy_bytes, new_bytes, warn
from edgeflow.host.port import Bytes, WasmInstance
from edgeflow.ir.dtype import PACKED_BITS
from edgeflow.ir.graph import Graph, Node, TensorData
from edgeflow.plan.builder import Lowering, PackedForm, StepBuilder
from edgeflow.plan.planner import PLANNED_OPS, lower_at_once, memory_dtype
from edgeflow.plan.stretches import Shared
from edgeflow.plan.values import NodeSteps, Value

# Floating-point operations below which a stretch is not worth two messages between threads (about 0.1 ms).
LEAST_WORK = 16e6

Divide = Callable[[list[NodeSteps], list[Value], StepBuilder, int], Shared]


class WasmMachine:
    """One model's WASM instance."""

    def __init__(self, instance: WasmInstance, shares: int = 1, image: Image | None = None) -> None:
        """shares: among how many machines its plans can be divided. image: the file, in the memory of `instance`."""
        self.engine: WasmEngine = WasmEngine(instance)
        if image is not None:
            self.engine.heap.allocate(image.size)
        self.shares: int = shares
        # shares.share_groups, once its part is here.
        self.divide: Divide | None = None
        # A plan was made that it might have divided.
        self.undivided: bool = False
        self.weights: Weights = Weights(self.engine, image)
        # Another model may have brought the part of rare operators, whose kernels this instance lacks.
        self._wide: bool = len(instance.added()) > 0
        self._planned: list[Value] = []

    def load(self, graph: Graph) -> Iterator[None]:
        """Put the graph's initializers into memory, with a halt after each."""
        return self.weights.load(graph, FORMS, set())

    def load_rest(self, graph: Graph, elsewhere: set[str], others: list[str]) -> Iterator[None]:
        """As load(), but for those of the keys `elsewhere`, and without packing what nodes of the keys `others` read: they may run elsewhere, too."""
        forms: dict[str, FormOf] = {}
        for key, form in FORMS.items():
            if key not in others:
                forms[key] = form
        return self.weights.load(graph, forms, elsewhere)

    def value_of(self, data: TensorData) -> Value:
        """A tensor in memory, as the planner would hold it, until end_plan(set())."""
        return self._temporary(StepBuilder(self), data)

    def begin_plan(self) -> None:
        """From here on, constants are computed for a plan."""
        self._planned = []

    def end_plan(self, used: set[int]) -> list[Value]:
        """Free the constants computed since begin_plan() but for those of the numbers `used`, which it gives."""
        kept: list[Value] = []
        for value in self._planned:
            if value.number in used:
                kept.append(value)
            else:
                self.engine.heap.free(value.address)
        self._planned = []
        return kept

    def lowering(self, key: str) -> Lowering | None:
        return lowering_of(key, self._wide)

    def initializer(self, key: str) -> Value:
        return self.weights.value(key)

    def evaluate(self, b: StepBuilder, outputs: list[Value | None]) -> bool:
        for value in outputs:
            if value is not None and value.base is None and value.literal is None:
                self.engine.place(value)
                self._planned.append(value)
        self.engine.run_now(b, b.where())
        return True

    def convert(self, b: StepBuilder, source: Value, target: Value) -> None:
        convert_step(b, source, target)

    def share(self, groups: list[NodeSteps], inputs: list[Value], outputs: list[Value], b: StepBuilder) -> Shared:
        # What works on a session's pages cannot be divided: they are in this machine's memory.
        if self.shares > 1 and b.cache is None:
            if self.divide is not None:
                return self.divide(groups, outputs, b, self.shares)
            self.undivided = self.undivided or _work(groups) >= LEAST_WORK
        return Shared(groups, [])

    async def fetch_division(self) -> None:
        """Have what divides plans. Without it, none is ever divided: results must not depend on when it comes."""
        try:
            from edgeflow.backends.wasm.shares import share_groups

            self.divide = share_groups
        except EdgeflowError as error:
            if self.shares > 1:
                self.shares = 1
                warn(f'edgeflow: no other thread can take shares of runs: {error.message}')

    def read_ints(self, value: Value) -> list[int]:
        return self.engine.read_ints(value)

    def read_floats(self, value: Value) -> list[float]:
        return self.engine.read_floats(value)

    def packed(self, form: PackedForm, inputs: list[Value | None]) -> Value | None:
        return self.weights.packed(form, inputs)

    def fold(self, node: Node, opset: int, inputs: list[TensorData | None]) -> list[TensorData] | None:
        """passes.fold_constants.Evaluate: a node's outputs for constant inputs, on the same kernels as everything else."""
        b = StepBuilder(self)
        self.begin_plan()
        try:
            values: list[Value | None] = []
            for data in inputs:
                values.append(None if data is None else self._temporary(b, data))
            outputs = lower_at_once(node, opset, values, self, b)
            if outputs is None or len([value for value in outputs if value.dtype in PACKED_BITS]) > 0:
                return None
            return [self._tensor(value) for value in outputs]
        finally:
            self.end_plan(set())

    def adopt(self, value: Value, data: Bytes) -> None:
        """Put an initializer that was elsewhere into memory. data: its elements; those of a float32 may be float16."""
        self.engine.place(value)
        if len(data) == value.size:
            self.engine.upload(value.address, data)
        else:
            upload(self.engine, StepBuilder(self), TensorData('float16', value.shape, data), value)

    def _temporary(self, b: StepBuilder, data: TensorData) -> Value:
        check_data(data, '')
        value = b.new_value('', memory_dtype(data.dtype), data.shape)
        self.engine.place(value)
        self._planned.append(value)
        upload(self.engine, b, data, value)
        return value

    def _tensor(self, value: Value) -> TensorData:
        data = new_bytes(value.size)
        if value.size > 0:
            copy_bytes(data, 0, self.engine.read_bytes(value))
        return TensorData(value.dtype, value.shape, data)


def _work(groups: list[NodeSteps]) -> float:
    work = 0.0
    for group in groups:
        for step in group.steps:
            if step.kernel == 'gemm_f32':
                work = work + product_work(step)
    return work


def check_operators(graph: Graph, others: list[str]) -> None:
    """'unsupported-op' for the first node, subgraphs included, whose operator neither WASM has nor `others`, the keys of another backend."""
    for node in graph.nodes:
        key = node.key()
        if lowering_of(key) is None and key not in PLANNED_OPS and key not in INTERPRETED and key not in others:
            opset = graph.opsets.get(node.domain, 1)
            domain = 'ai.onnx' if node.domain == '' else node.domain
            raise EdgeflowError('unsupported-op', f"no backend has the operator {node.op} of {domain}, version {opset} (node '{node.name}')",
                                {'op': node.op, 'domain': domain, 'opset': opset, 'node': node.name})
        for attribute in node.attributes.values():
            if isinstance(attribute, Graph):
                check_operators(attribute, others)
