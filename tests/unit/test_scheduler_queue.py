"""The heap under the scheduler: order, and leaving from any place."""

from __future__ import annotations

import pytest

from edgeflow.runtime.scheduler_queue import Entry, Heap


def drained(heap: Heap) -> list[str]:
    names: list[str] = []
    first = heap.first()
    while first is not None:
        names.append(first.owner)
        heap.remove(first)
        first = heap.first()
    return names


def test_order_is_by_key_then_by_number() -> None:
    heap = Heap()
    for name, key, order in [('d', 2.0, 1), ('b', 1.0, 7), ('a', 1.0, 3), ('e', 2.0, 2), ('c', 1.5, 9)]:
        heap.put(Entry(name), key, order)
    assert len(heap) == 5
    assert drained(heap) == ['a', 'b', 'c', 'd', 'e']
    assert heap.first() is None


def test_an_entry_moves_when_it_is_put_again() -> None:
    heap = Heap()
    a = Entry('a')
    b = Entry('b')
    heap.put(a, 1.0, 1)
    heap.put(b, 2.0, 2)
    heap.put(a, 3.0, 1)
    assert len(heap) == 2
    assert drained(heap) == ['b', 'a']


def test_what_is_not_there_cannot_leave() -> None:
    heap = Heap()
    entry = Entry('a')
    heap.remove(entry)
    heap.put(entry, 1.0, 1)
    heap.remove(entry)
    heap.remove(entry)
    assert len(heap) == 0


@pytest.mark.parametrize('seed', [1, 2, 3, 4, 5, 6, 7, 8])
def test_entries_leave_from_any_place(seed: int) -> None:
    heap = Heap()
    entries: list[Entry] = []
    state = seed
    for i in range(60):
        state = state * 48271 % 2147483647
        entry = Entry(str(i))
        heap.put(entry, float(state % 17), i)
        entries.append(entry)
    kept: list[Entry] = []
    for entry in entries:
        state = state * 48271 % 2147483647
        if state % 3 == 0:
            heap.remove(entry)
        else:
            kept.append(entry)
    expected = [entry.owner for entry in sorted(kept, key=lambda entry: (entry.key, entry.order))]
    assert drained(heap) == expected
