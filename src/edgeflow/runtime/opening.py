"""From the bytes of an ONNX file to an executable, in the thread that will run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeflow.backends.choose import load_executable
from edgeflow.backends.generation import GeneratingExecutable
from edgeflow.backends.rests import Rests
from edgeflow.errors import EdgeflowError
from edgeflow.host.port import Bytes
from edgeflow.ir.graph import Graph, ValueInfo
from edgeflow.ir.verify import verify, verify_operators
from edgeflow.onnx.reader import read_model
from edgeflow.passes.inline_constant_if import deciding_inputs


@dataclass(frozen=True)
class ModelFiles:
    """The bytes of an .onnx file, and of its external data files by the locations that it gives."""

    model: Bytes
    external: dict[str, Bytes]


@dataclass(frozen=True)
class Opened:
    """What a model declares, and what runs it."""

    inputs: list[ValueInfo]
    outputs: list[ValueInfo]
    executable: GeneratingExecutable


async def open_file(
    data: Bytes, external: dict[str, Bytes], device: str, cancelled: Callable[[], bool], shares: int = 1,
) -> Opened:
    """Read an ONNX file and make it ready to run on `device`, one of choose_device()'s, divided among `shares` threads where they help.

    external: the bytes of external data files by the locations that the model gives. cancelled: asked between the steps, where it
    lets go of the thread, whether the caller has lost interest.
    EdgeflowError: 'invalid-model', 'invalid-graph', 'unsupported-op', 'file-missing', 'out-of-memory', 'platform', 'aborted'.
    """

    def find_external(location: str) -> Bytes:
        found = external.get(location)
        if found is None:
            raise EdgeflowError('file-missing', f"the model's data file '{location}' is missing", {'file': location})
        return found

    rests = Rests(cancelled, 'loading the model')
    graph = read_model(data, find_external).graph
    await rests.rest()
    verify(graph)
    verify_operators(graph)
    await rests.rest()
    executable = await load_executable(graph, device, rests, shares)
    return Opened(declared_inputs(graph), graph.outputs, executable)


def declared_inputs(graph: Graph) -> list[ValueInfo]:
    """The inputs as a caller has to give them.

    Exporters that merge two decoders into one reuse a symbol for sizes that differ: the past's keys are empty in the branch
    that computes them, the mask covers past tokens too. There only the batch and the graph's own rules are left to check.
    """
    if len(deciding_inputs(graph)) == 0:
        return graph.inputs
    inputs: list[ValueInfo] = []
    for info in graph.inputs:
        dims = info.shape
        if dims is not None:
            dims = [dims[i] if i == 0 or not isinstance(dims[i], str) else '' for i in range(len(dims))]
        inputs.append(ValueInfo(info.name, info.dtype, dims))
    return inputs
