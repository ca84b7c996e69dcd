"""Leak detection by age, on a clock of its own; detection by the garbage collector is in tests/memory."""

from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.runtime.leaks import Leak, LeakDetection, detection, detect_leaks, leak_text, start_detection
from edgeflow.runtime.scope import memory_scope
from edgeflow.runtime.tensor import tensor


class Clock:
    def __init__(self) -> None:
        self.time: float = 0.0

    def detect(self, limit: float, leaks: list[Leak]) -> LeakDetection:
        return start_detection(limit, lambda leak: leaks.append(leak), False, lambda: self.time)


def test_what_outlives_the_limit_is_reported_once() -> None:
    clock = Clock()
    leaks: list[Leak] = []
    detecting = clock.detect(100.0, leaks)
    old = tensor([1, 2])
    freed = tensor([3])
    clock.time = 60.0
    young = tensor([4])
    freed.dispose()
    clock.time = 99.0
    detecting.check()
    assert leaks == []
    clock.time = 100.0
    detecting.check()
    detecting.check()
    clock.time = 130.0
    detecting.check()
    assert len(leaks) == 1
    assert [leaks[0].reason, leaks[0].kind, leaks[0].what, leaks[0].size, leaks[0].age] == ['age', 'tensor', 'float32 [2]', 8, 100]
    detecting.stop()
    old.dispose()
    young.dispose()


def test_where_it_was_made() -> None:
    clock = Clock()
    leaks: list[Leak] = []
    detecting = clock.detect(10.0, leaks)
    a = tensor([1])
    clock.time = 10.0
    detecting.check()
    detecting.stop()
    a.dispose()
    assert 'test_scope_leaks' in leaks[0].stack
    assert 'still lives after 0.0 s' in leak_text(leaks[0])
    assert 'test_scope_leaks' in leak_text(leaks[0])


def test_scopes_are_leaks_too() -> None:
    clock = Clock()
    leaks: list[Leak] = []
    detecting = clock.detect(10.0, leaks)
    scope = memory_scope()
    scope.tensor([1])
    clock.time = 20.0
    detecting.check()
    detecting.stop()
    scope.dispose()
    assert [leak.kind for leak in leaks] == ['scope', 'tensor']


def test_making_something_checks_as_well() -> None:
    clock = Clock()
    leaks: list[Leak] = []
    detecting = clock.detect(10.0, leaks)
    a = tensor([1])
    clock.time = 11.0
    b = tensor([2])
    assert len(leaks) == 1
    detecting.stop()
    a.dispose()
    b.dispose()


def test_it_ends() -> None:
    leaks: list[Leak] = []
    clock = Clock()
    first = clock.detect(10.0, leaks)
    a = tensor([1])
    second = clock.detect(10.0, leaks)
    assert detection() is second
    first.stop()
    assert detection() is second
    second.stop()
    assert detection() is None
    clock.time = 20.0
    second.check()
    assert leaks == []
    a.dispose()


def test_options() -> None:
    with pytest.raises(EdgeflowError) as e:
        detect_leaks(age_limit=-1)
    assert e.value.code == 'invalid-argument'
    assert detection() is None
