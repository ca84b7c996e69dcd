"""Runs of a model as one: what is merged and how it is taken apart again, and which models allow it."""

from __future__ import annotations

import pytest

from edgeflow.backends.contract import Feed, MemoryUse, Placement, RunControl
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_list, array_of
from edgeflow.ir.graph import ValueInfo
from edgeflow.runtime.batching import (
    Batching, batching, blames_request, check_batch, merge_requests, read_batching, request_key, split_results,
)
from edgeflow.runtime.requests import RunRequest
from edgeflow.runtime.scheduler_task import RunContext


async def no_work(request: RunRequest, context: RunContext) -> dict[str, Feed]:
    return {}


def request(ids: list[int], shape: list[int], outputs: list[str], pauses: bool = False) -> RunRequest:
    feeds = {'ids': Feed('int64', shape, array_of('int64', ids)), 'mask': Feed('float32', shape, array_of('float32', [1] * len(ids)))}
    return RunRequest(no_work, feeds, outputs, pauses, False, False)


class Placed:
    """contract.Executable that has these operators."""

    def __init__(self, ops: list[str]) -> None:
        self.lane: str = 'page'
        self.nodes: dict[str, int] = {}
        for op in ops:
            self.nodes[op] = 1

    async def run(self, feeds: dict[str, Feed], outputs: list[str], control: RunControl | None = None, give: bool = False) -> dict[str, Feed]:
        return {}

    async def describe_plan(self, shapes: dict[str, list[int]], outputs: list[str]) -> str:
        return ''

    def memory(self) -> MemoryUse:
        return MemoryUse(0, 0, 0, 0)

    def placement(self) -> Placement:
        return Placement('wasm', self.nodes)

    def lost(self) -> bool:
        return False

    def dispose(self) -> None:
        return None


def refusal(inputs: list[ValueInfo], outputs: list[ValueInfo], ops: list[str]) -> str:
    try:
        check_batch(inputs, outputs, Placed(ops))
    except EdgeflowError as error:
        assert error.code == 'invalid-argument'
        return error.message
    return ''


def test_requests_become_one_in_order() -> None:
    merged = merge_requests([request([1, 2], [1, 2], ['y']), request([3, 4], [1, 2], ['y'], True)])
    assert merged.feeds['ids'].shape == [2, 2]
    assert array_list(merged.feeds['ids'].data) == [1, 2, 3, 4]
    assert merged.feeds['mask'].dtype == 'float32'
    assert merged.outputs == ['y']
    assert merged.pauses and merged.give


def test_only_equal_shapes_and_outputs_have_equal_keys() -> None:
    first = request_key(request([1, 2], [1, 2], ['y']))
    assert request_key(request([3, 4], [1, 2], ['y'])) == first
    assert request_key(request([3, 4], [2, 1], ['y'])) != first
    assert request_key(request([3, 4], [1, 2], ['z'])) != first


def test_results_are_taken_apart_in_order() -> None:
    requests = [request([1, 2], [2, 1], ['y', 'z']) for _ in range(2)]
    results = {
        'y': Feed('float32', [4, 3], array_of('float32', list(range(12)))), 'z': Feed('int64', [4], array_of('int64', [5, 6, 7, 8])),
    }
    first, second = split_results(results, requests)
    assert first['y'].shape == [2, 3]
    assert array_list(first['y'].data) == [0, 1, 2, 3, 4, 5]
    assert array_list(second['y'].data) == [6, 7, 8, 9, 10, 11]
    assert array_list(second['z'].data) == [7, 8]


def test_a_result_of_another_number_of_rows_is_none() -> None:
    with pytest.raises(EdgeflowError, match='expected 2 rows; got 1') as e:
        split_results({'y': Feed('float32', [1, 3], array_of('float32', [1, 2, 3]))}, [request([1], [1, 1], ['y']) for _ in range(2)])
    assert e.value.code == 'run-failed'


def test_models_that_begin_with_their_batch_are_accepted() -> None:
    ids = ValueInfo('ids', 'int64', ['batch', 'sequence'])
    assert refusal([ids], [ValueInfo('y', 'float32', ['batch', 'sequence', 8]), ValueInfo('z', 'float32', ['batch'])], ['MatMul']) == ''


def test_others_are_refused_and_told_why() -> None:
    ids = ValueInfo('ids', 'int64', ['batch', 'sequence'])
    y = ValueInfo('y', 'float32', ['batch', 8])
    assert "'flag' is bool [1]" in refusal([ids, ValueInfo('flag', 'bool', [1])], [y], [])
    assert "'y' is float32 [rows, 8]" in refusal([ids], [ValueInfo('y', 'float32', ['rows', 8])], [])
    assert "'y' is float32 [batch, batch]" in refusal([ids], [ValueInfo('y', 'float32', ['batch', 'batch'])], [])
    assert "'y' is float32 of any rank" in refusal([ids], [ValueInfo('y', 'float32', None)], [])
    assert "'y' is float32 []" in refusal([ids], [ValueInfo('y', 'float32', [])], [])
    assert "'ids' is int64 [, 4]" in refusal([ValueInfo('ids', 'int64', ['', 4])], [y], [])
    assert "'y' is string [batch, 8]" in refusal([ids], [ValueInfo('y', 'string', ['batch', 8])], [])
    assert 'edgeflow:QMatMul' in refusal([ids], [y], ['MatMul', 'edgeflow:QMatMul'])


def test_the_option() -> None:
    assert read_batching(Batching(2, 1.0)) == Batching(2, 1.0)
    assert batching() == Batching(8, 0.0)
    assert batching(max_size=3, max_wait=0.5) == Batching(3, 0.5)
    for size, wait in [(0, 0.0), (1.5, 0.0), (2, -1.0)]:
        with pytest.raises(EdgeflowError, match='batching: max') as e:
            batching(max_size=size, max_wait=wait)
        assert e.value.code == 'invalid-argument'


def test_a_lost_worker_is_nobodys_fault() -> None:
    assert not blames_request(EdgeflowError('worker-lost', 'gone'))
    assert blames_request(EdgeflowError('run-failed', 'bad'))
    assert blames_request(ValueError('bad'))
