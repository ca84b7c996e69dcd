"""Which graphs fetch which parts of GPU lowerings."""

from __future__ import annotations

import asyncio

import pytest

from edgeflow.backends.webgpu import lowerings, rare, sequences, vision
from edgeflow.backends.webgpu.lower_quantized import QUANTIZED_LOWERINGS
from edgeflow.backends.webgpu.lowerings import OTHERS, expect_lowerings, install_lowerings
from edgeflow.host.gpu import ops_named
from edgeflow.ir.graph import Graph, Node

TABLES = [
    [vision.CONV_LOWERINGS, vision.IMAGE_NORM_LOWERINGS, vision.SPATIAL_LOWERINGS],
    [sequences.AXIS_LOWERINGS, sequences.DECODER_LOWERINGS],
    [QUANTIZED_LOWERINGS],
    [rare.ENCODER_LOWERINGS, rare.PADDING_LOWERINGS, rare.SCALE_LOWERINGS, rare.SCATTER_LOWERINGS],
]


def op(key: str) -> str:
    return key.rpartition(':')[2]


@pytest.mark.parametrize('number', range(len(TABLES)))
def test_the_list_of_a_part_is_that_of_its_lowerings(number: int) -> None:
    assert {op(key) for table in TABLES[number] for key in table} == set(OTHERS[number][0])


class Record:
    """Stands for OTHERS: which parts were asked for, by their numbers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[int] = []
        monkeypatch.setattr(lowerings, 'OTHERS', [(ops, lambda number=number: self.ask(number)) for number, (ops, _) in enumerate(OTHERS)])

    async def ask(self, number: int) -> None:
        self.asked.append(number)


def graph_of(*ops: str, inner: Graph | None = None) -> Graph:
    attributes = {} if inner is None else {'then_branch': inner}
    return Graph('g', [], [], [Node(op, '', op, [], [op], attributes) for op in ops], {}, {'': 21})


def test_a_graph_asks_for_the_parts_of_its_operators_within_branches_too(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record(monkeypatch)
    asyncio.run(install_lowerings(graph_of('MatMul', 'Softmax'), False))
    assert record.asked == []
    asyncio.run(install_lowerings(graph_of('If', inner=graph_of('Conv', 'TopK')), False))
    assert record.asked == [0, 1]


def test_one_whose_operators_are_made_of_others_asks_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record(monkeypatch)
    asyncio.run(install_lowerings(graph_of('Add'), True))
    assert record.asked == [0, 1, 2, 3]


def test_the_first_bytes_of_a_file_tell_what_to_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record(monkeypatch)
    node = b'\x0a\x01x\x12\x01y\x1a\x08/m/Pad_3"\x06MatMul'
    asyncio.run(expect_lowerings(memoryview(node)))
    assert record.asked == []
    asyncio.run(expect_lowerings(memoryview(node + b'\x0a\x01x\x12\x01y\x1a\x01n"\x0dMatMulInteger*\x00')))
    assert record.asked == [2]


def test_a_past_of_keys_and_values_is_told_too() -> None:
    assert ops_named(memoryview(b'\x0a\x19past_key_values.0.key"\x06Concat*')) == ['past_key_values', 'Concat']
