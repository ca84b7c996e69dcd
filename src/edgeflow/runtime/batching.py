"""Runs of one model that are merged into one: along the first dim, which has to be its batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from edgeflow.backends.contract import Executable, Feed
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes, array_copy, array_view, call_with, join_bytes
from edgeflow.host.port import Bytes
from edgeflow.ir.graph import ValueInfo
from edgeflow.options import public
from edgeflow.runtime.requests import RunRequest
from edgeflow.runtime.scheduler_records import Batcher, check_count, check_time

# What takes one scale for all rows of its input: a row's result would depend on its company.
ONE_SCALE = ['DynamicQuantizeLinear', 'edgeflow:QMatMul']


@dataclass(frozen=True)
class Batching:
    """How runs of a model are merged. It changes no results; it pays off where many short requests come at once.

    max_size: how many runs are merged into one at most. max_wait: ms that a run waits for others while its worker has nothing else
    to do; 0: only what waits anyway is merged.
    """

    max_size: int = 8
    max_wait: float = 0.0


def read_batching(given: object) -> Batching:
    """The option `batching` of a public function. EdgeflowErrors 'invalid-argument', 'unknown-option'."""
    if isinstance(given, Batching):
        return batching(max_size=given.max_size, max_wait=given.max_wait)
    return cast(Batching, call_with(batching, given))


@public
def batching(*, max_size: int = 8, max_wait: float = 0.0) -> Batching:
    """A checked Batching."""
    check_count('batching: max_size', max_size)
    check_time('batching: max_wait', max_wait)
    return Batching(max_size, max_wait)


def check_batch(inputs: list[ValueInfo], outputs: list[ValueInfo], executable: Executable) -> None:
    """'invalid-argument' unless runs of the model can be merged: everything has to begin with one and the same symbolic dim, its batch."""
    symbol = ''
    for info in inputs + outputs:
        dims = info.shape if info.shape is not None else []
        first = dims[0] if len(dims) > 0 else 0
        if symbol == '' and isinstance(first, str):
            symbol = first
        if symbol == '' or first != symbol or symbol in dims[1:] or info.dtype == 'string':
            shown = 'of any rank' if info.shape is None else f'[{", ".join([str(dim) for dim in dims])}]'
            raise EdgeflowError(
                'invalid-argument',
                f"batching: expected inputs and outputs that all begin with one symbolic dim and have it nowhere else; '{info.name}' is {info.dtype} {shown}",
                {'option': 'batching', 'name': info.name})
    nodes = executable.placement().nodes
    for key in ONE_SCALE:
        if key in nodes:
            raise EdgeflowError(
                'invalid-argument',
                f"batching: expected a model whose rows do not depend on each other; '{key}' takes one scale for a whole batch",
                {'option': 'batching', 'op': key})


def model_batcher(batching: Batching) -> Batcher:
    """For the scheduler. It refers to no model, only the requests do: a model that its user forgets must not be held by it."""
    return Batcher(
        lambda request, context: cast(RunRequest, request).work(cast(RunRequest, request), context), request_key, merge_requests, split_results, None, blames_request,
        batching.max_size, batching.max_wait)


def request_key(request: RunRequest) -> str | None:
    """Runs of equal text have inputs of equal shapes and want the same outputs. None: what is on the GPU, or stays there, is not merged."""
    if request.keeps:
        return None
    shapes: list[str] = []
    for feed in request.feeds.values():
        if feed.held is not None:
            return None
        shapes.append('x'.join([str(dim) for dim in feed.shape]))
    return ','.join(shapes) + ' ' + ','.join(request.outputs)


def merge_requests(requests: list[RunRequest]) -> RunRequest:
    """One run for all of them; their own feeds stay as they are."""
    first = requests[0]
    feeds: dict[str, Feed] = {}
    for name in first.feeds:
        feed = first.feeds[name]
        data = join_bytes([array_bytes(request.feeds[name].data) for request in requests])
        feeds[name] = Feed(feed.dtype, [feed.shape[0] * len(requests)] + feed.shape[1:], array_view(feed.dtype, data))
    pauses = False
    for request in requests:
        pauses = pauses or request.pauses
    return RunRequest(first.work, feeds, first.outputs, pauses, True, False)


def split_results(results: dict[str, Feed], requests: list[RunRequest]) -> list[object]:
    """Each request's rows, in memory of their own. 'run-failed' if the model has given another number of rows than it was given."""
    count = len(requests)
    rows = 0
    for feed in requests[0].feeds.values():
        rows = feed.shape[0]
    parts: list[dict[str, Feed]] = [{} for _ in requests]
    for name in results:
        result = results[name]
        if result.shape[0] != rows * count:
            raise EdgeflowError(
                'run-failed', f"output '{name}' of {count} merged runs: expected {rows * count} rows; got {result.shape[0]}",
                {'name': name, 'expected': rows * count, 'got': result.shape[0]})
        data: Bytes = array_bytes(result.data)
        size = len(data) // count
        for i in range(count):
            parts[i][name] = Feed(result.dtype, [rows] + result.shape[1:], array_copy(result.dtype, data[i * size:(i + 1) * size]))
    return cast('list[object]', parts)


def blames_request(error: Exception) -> bool:
    """Whether one of several merged requests may be at fault. A lost worker takes all of them with it, as it does single runs."""
    return not (isinstance(error, EdgeflowError) and error.code == 'worker-lost')
