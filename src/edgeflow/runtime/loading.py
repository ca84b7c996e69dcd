"""From the files of an ONNX model to an executable, in the thread that will run it."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.backends.choose import load_executable
from edgeflow.backends.rests import Rests
from edgeflow.backends.wasm.load import fetch_operators
from edgeflow.errors import EdgeflowError
from edgeflow.host.port import Bytes
from edgeflow.ir.graph import Graph, ValueInfo
from edgeflow.ir.verify import verify, verify_operators
from edgeflow.onnx.pieces import Pieces
from edgeflow.onnx.reader import external_files, read_model
from edgeflow.onnx.skeleton import skeleton
from edgeflow.passes.inline_constant_if import deciding_inputs
from edgeflow.runtime.opening import MODEL, ModelFiles, Opened


def skeleton_of(files: ModelFiles) -> Bytes:
    """The .onnx file, which is here, as skeleton() gives it."""
    if files.skeleton is None:
        files.skeleton = skeleton(files.pieces(MODEL), 0 if files.head is None else files.head.size)
    return files.skeleton


async def read_graph(files: ModelFiles) -> Graph:
    """The graph of the files, its functions expanded; the weights stay where they are. 'invalid-model', 'file-missing'."""
    if files.graph is not None:
        return files.graph
    model = files.pieces(MODEL)

    def find(location: str) -> Bytes | Pieces:
        found = model if location == MODEL else files.pieces(location)
        return found if len(found.parts) > 1 or found.memory is not None else found.parts[0]

    data = skeleton_of(files)
    head = files.head
    files.head = None
    read = read_model(data, find, head)
    if len(read.functions) > 0:
        from edgeflow.onnx.functions import expand_functions
        expand_functions(read, data, find)
    files.graph = read.graph
    return read.graph


async def missing_files(files: ModelFiles) -> list[str]:
    """ModelFiles.external_files(): a graph that can be read names no file that is not here."""
    try:
        await read_graph(files)
    except EdgeflowError:
        return external_files(skeleton_of(files))
    return []


async def open_files(
    files: ModelFiles, device: str, cancelled: Callable[[], bool], shares: int = 1,
) -> Opened:
    """Read an ONNX file and make it ready to run on `device`, one of choose.candidates()', divided among `shares` threads where they help.

    The files are used up. cancelled: asked between the steps, where it lets go of the thread, whether the caller has lost interest.
    EdgeflowError: 'invalid-model', 'invalid-graph', 'unsupported-op', 'file-missing', 'out-of-memory', 'platform', 'aborted'.
    """
    rests = Rests(cancelled, 'loading the model')
    graph = await read_graph(files)
    await rests.rest()
    verify(graph)
    await fetch_operators(graph)
    verify_operators(graph)
    files.clear()
    await rests.rest()
    executable = await load_executable(graph, device, rests, shares, files.image)
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
