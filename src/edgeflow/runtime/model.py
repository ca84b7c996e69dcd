"""A model that is ready to run: checks what it is given, and hands it to its backend."""

from __future__ import annotations

from edgeflow.backends.choose import choose_device, load_executable
from edgeflow.backends.contract import Executable, Feed, MemoryUse, Placement
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import native_mapping, signal_aborted, to_dict
from edgeflow.host.port import AbortSignal, Bytes
from edgeflow.ir.graph import ValueInfo
from edgeflow.ir.verify import verify, verify_operators
from edgeflow.onnx.reader import read_model
from edgeflow.options import nearest, public
from edgeflow.runtime.tensor import Tensor, describe


class Model:
    """An ONNX model on a device. Made by load_model().

    inputs, outputs: what the model declares, in its order; a dim is a number, a symbol ('batch_size') or '' if unknown.
    device: where it runs.
    """

    def __init__(self, inputs: list[ValueInfo], outputs: list[ValueInfo], device: str, executable: Executable) -> None:
        self.inputs: list[ValueInfo] = inputs
        self.outputs: list[ValueInfo] = outputs
        self.device: str = device
        self._executable: Executable | None = executable

    @public
    async def run(
        self, inputs: dict[str, Tensor], *, outputs: list[str] | None = None, signal: AbortSignal | None = None,
    ) -> dict[str, Tensor]:
        """Run once with these inputs by name, and give the outputs by name as new tensors.

        outputs: the names that are wanted, all if left out; what the others alone need is not computed.
        signal: an AbortSignal; once a run has begun on WASM it is not interrupted.
        EdgeflowError: 'invalid-input', 'disposed', 'aborted', 'run-failed', 'unsupported-op', 'out-of-memory'.
        """
        return native_mapping(await self.run_tensors(to_dict(inputs), outputs, signal))

    async def run_tensors(
        self, inputs: dict[str, Tensor], outputs: list[str] | None = None, signal: AbortSignal | None = None,
    ) -> dict[str, Tensor]:
        """Internal: run() for edgeflow's own code: dicts on both sides, where run() takes and gives plain objects in JS."""
        executable = self._living()
        if signal_aborted(signal):
            raise EdgeflowError('aborted', 'the run was cancelled before it began', {})
        wanted = self._wanted(outputs)
        feeds = check_inputs(self.inputs, inputs)
        results = await executable.run(feeds, wanted)
        tensors: dict[str, Tensor] = {}
        for name in wanted:
            result = results[name]
            tensors[name] = Tensor(result.dtype, result.shape, result.data)
        return tensors

    def input_names(self) -> list[str]:
        """The names of the inputs, in the model's order."""
        return [info.name for info in self.inputs]

    def dispose(self) -> None:
        """Free the model's memory. Doing it twice is no error; running it afterwards is 'disposed'."""
        if self._executable is not None:
            self._executable.dispose()
            self._executable = None

    @property
    def disposed(self) -> bool:
        """Whether dispose() was called."""
        return self._executable is None

    def memory(self) -> MemoryUse:
        """Bytes that the model holds; zeros once disposed."""
        return MemoryUse(0, 0, 0, 0) if self._executable is None else self._executable.memory()

    def placement(self) -> Placement:
        """Which operators run where."""
        placement = self._living().placement()
        return Placement(placement.device, native_mapping(placement.nodes))

    def describe_plan(self, shapes: dict[str, list[int]]) -> str:
        """The steps that run for inputs of these shapes, one a line; for tests and debugging."""
        return self._living().describe_plan(to_dict(shapes), [info.name for info in self.outputs])

    def _living(self) -> Executable:
        if self._executable is None:
            raise EdgeflowError('disposed', 'expected a living model; this one was disposed', {})
        return self._executable

    def _wanted(self, outputs: list[str] | None) -> list[str]:
        """The names of the wanted outputs, in the model's order."""
        known = [info.name for info in self.outputs]
        if outputs is None:
            return known
        for name in outputs:
            if name not in known:
                raise EdgeflowError('invalid-input', f"the model has no output '{name}'{hint(name, known)}; it has {', '.join(known)}",
                                    {'name': name, 'known': known})
        return [name for name in known if name in outputs]


def check_inputs(declared: list[ValueInfo], inputs: dict[str, Tensor]) -> dict[str, Feed]:
    """The given tensors as feeds, in the declared order.

    EdgeflowError 'invalid-input' for an unknown or missing name, another dtype, rank or fixed dim than declared, and for
    one symbol that would stand for two numbers.
    """
    known = [info.name for info in declared]
    for name in inputs:
        if name not in known:
            raise EdgeflowError('invalid-input', f"the model has no input '{name}'{hint(name, known)}; it has {', '.join(known)}",
                                {'name': name, 'known': known})
    symbols: dict[str, int] = {}
    owners: dict[str, str] = {}
    feeds: dict[str, Feed] = {}
    for info in declared:
        tensor = inputs.get(info.name)
        if tensor is None:
            raise EdgeflowError('invalid-input', f"input '{info.name}' is missing; the model needs {', '.join(known)}",
                                {'name': info.name, 'expected': describe_info(info)})
        if not isinstance(tensor, Tensor):
            raise EdgeflowError('invalid-input', f"input '{info.name}': expected a tensor, as tensor() makes them",
                                {'name': info.name, 'expected': describe_info(info)})
        data = tensor.data
        if tensor.dtype != info.dtype:
            raise mismatch(info, tensor)
        if info.shape is not None:
            check_dims(info, info.shape, tensor, symbols, owners)
        feeds[info.name] = Feed(tensor.dtype, tensor.shape, data)
    return feeds


def check_dims(info: ValueInfo, dims: list[int | str], tensor: Tensor, symbols: dict[str, int], owners: dict[str, str]) -> None:
    """Compare a tensor with the declared dims. symbols: what each symbol stands for so far, owners: by which input."""
    if len(dims) != len(tensor.shape):
        raise mismatch(info, tensor)
    for i in range(len(dims)):
        dim = dims[i]
        size = tensor.shape[i]
        if not isinstance(dim, str):
            if dim != size:
                raise mismatch(info, tensor)
        elif dim != '':
            if dim not in symbols:
                symbols[dim] = size
                owners[dim] = info.name
            elif symbols[dim] != size:
                raise EdgeflowError(
                    'invalid-input',
                    f"input '{info.name}': expected {dim} = {symbols[dim]}, as in '{owners[dim]}'; got {size} ({describe(tensor.dtype, tensor.shape)})",
                    {'name': info.name, 'dim': dim, 'expected': symbols[dim], 'got': size})


def mismatch(info: ValueInfo, tensor: Tensor) -> EdgeflowError:
    """The error for a tensor of another type than declared."""
    expected = describe_info(info)
    got = describe(tensor.dtype, tensor.shape)
    return EdgeflowError('invalid-input', f"input '{info.name}': expected {expected}; got {got}",
                         {'name': info.name, 'expected': expected, 'got': got})


def describe_info(info: ValueInfo) -> str:
    """'int64 [batch_size, 128]'; '?' for an unknown dim, '[...]' for an unknown rank."""
    if info.shape is None:
        return info.dtype + ' [...]'
    return info.dtype + ' [' + ', '.join(['?' if dim == '' else str(dim) for dim in info.shape]) + ']'


def hint(name: str, known: list[str]) -> str:
    """' (did you mean ...?)' if a known name is near."""
    near = nearest(name, known)
    return '' if near is None else f" (did you mean '{near}'?)"


async def create_model(data: Bytes, external: dict[str, Bytes], device: str) -> Model:
    """Read an ONNX file and make it ready to run on `device` ('auto' or a backend's name).

    external: the bytes of external data files by the locations that the model gives.
    EdgeflowError: 'invalid-model', 'invalid-graph', 'unsupported-op', 'file-missing', 'out-of-memory', 'platform'.
    """
    chosen = choose_device(device)

    def find_external(location: str) -> Bytes:
        found = external.get(location)
        if found is None:
            raise EdgeflowError('file-missing', f"the model's data file '{location}' is missing", {'file': location})
        return found

    graph = read_model(data, find_external).graph
    verify(graph)
    verify_operators(graph)
    executable = await load_executable(graph, chosen)
    return Model(graph.inputs, graph.outputs, chosen, executable)
