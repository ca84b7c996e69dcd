"""What pages and workers say to each other survives the way; a worker answers what it is asked, in order."""

from __future__ import annotations

import pytest

from edgeflow.backends.contract import Feed, MemoryUse, Placement
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_list, array_of, bytes_of, error_stack
from edgeflow.ir.graph import ValueInfo
from edgeflow.runtime.messages import (
    Parcel, error_fields, infos_fields, memory_fields, placement_fields, plain, read_error, read_feeds, read_infos, read_memory,
    read_placement,
)


def test_tensors_arrive_as_they_were_sent() -> None:
    parcel = Parcel('run')
    feeds = {
        'ids': Feed('int64', [1, 3], array_of('int64', [1, -2, 3])), 'half': Feed('float16', [2], array_of('float16', [0.5, -2])),
        'flag': Feed('bool', [2], array_of('bool', [True, False])), 'none': Feed('float32', [0], array_of('float32', [])),
    }
    parcel.add_feeds(feeds, False)
    got = read_feeds(parcel.fields)
    assert list(got.keys()) == ['ids', 'half', 'flag', 'none']
    for name in feeds:
        assert got[name].dtype == feeds[name].dtype
        assert got[name].shape == feeds[name].shape
        assert array_list(got[name].data) == array_list(feeds[name].data)


def test_memory_that_is_not_given_up_is_copied() -> None:
    data = bytes_of([1, 2, 3])
    parcel = Parcel('piece')
    sent: list = [parcel.add_bytes(data, False)]
    data[0] = 9
    assert list(sent[0]) == [1, 2, 3]
    assert len(parcel.transfer) == 1


def test_memory_that_is_given_up_moves_and_only_once() -> None:
    data = bytes_of([1, 2, 3])
    parcel = Parcel('piece')
    moved: list = [parcel.add_bytes(data, True), parcel.add_bytes(data, True)]
    assert len(parcel.transfer) == 2
    assert parcel.transfer[0] is not parcel.transfer[1]
    data[0] = 9
    assert list(moved[0]) == [9, 2, 3]
    assert list(moved[1]) == [1, 2, 3]


def test_declarations_memory_and_placement() -> None:
    infos = [ValueInfo('x', 'float32', ['batch', 3]), ValueInfo('y', 'int64', None)]
    assert read_infos(infos_fields(infos)) == infos
    assert read_memory(memory_fields(MemoryUse(4, 3, 2, 1))) == MemoryUse(4, 3, 2, 1)
    assert read_placement(placement_fields(Placement('wasm', {'MatMul': 2}))) == Placement('wasm', {'MatMul': 2})


def test_an_error_keeps_code_message_details_and_stack() -> None:
    try:
        raise EdgeflowError('run-failed', 'it failed', {'node': 'a', 'shape': [1, 2], 'inner': {'x': None}})
    except EdgeflowError as error:
        fields = error_fields(error)
    got = read_error(fields)
    assert got.code == 'run-failed'
    assert got.message == 'it failed'
    assert got.details['node'] == 'a'
    assert got.details['shape'] == [1, 2]
    assert 'it failed' in error_stack(got)


def test_other_errors_are_internal() -> None:
    fields = error_fields(ValueError('what'))
    assert fields['code'] == 'internal'
    assert read_error(fields).message == 'what'


class Strange:
    """A value that no message can carry."""

    def __str__(self) -> str:
        return 'strange'


def test_details_become_plain_values() -> None:
    assert plain([1, 'a', None, True]) == [1, 'a', None, True]
    assert plain(Strange()) == 'strange'
    assert plain({'a': [Strange()]}) == {'a': ['strange']}


def test_a_message_names_what_is_missing() -> None:
    with pytest.raises(KeyError):
        read_feeds(Parcel('run').fields)
