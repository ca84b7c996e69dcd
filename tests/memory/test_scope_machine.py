"""Random work with scopes, beside a plain model of who owns what: nothing is freed early, late or twice, and the statistics add up."""

from __future__ import annotations

import gc

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgeflow import MemoryScope, Tensor, memory_scope, memory_stats, tensor


class Scopes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        gc.collect()
        before = memory_stats()
        self.tensors_before, self.size_before, self.scopes_before = before.tensors, before.host.size, before.scopes
        self.owner: dict[Tensor, MemoryScope | None] = {}
        self.parent: dict[MemoryScope, MemoryScope | None] = {}
        self.entered: list[MemoryScope] = []

    def pick(self, data: st.DataObject, items: list) -> object:
        return items[data.draw(st.integers(0, len(items) - 1))]

    def ended(self, scope: MemoryScope) -> None:
        """The model of dispose()."""
        for child in [s for s, p in self.parent.items() if p is scope]:
            self.ended(child)
        self.owner = {t: o for t, o in self.owner.items() if o is not scope}
        self.parent.pop(scope)
        self.entered = [s for s in self.entered if s is not scope]

    @rule(size=st.integers(0, 4))
    def make(self, size: int) -> None:
        self.owner[tensor([0.0] * size)] = self.entered[-1] if self.entered else None

    @rule(enter=st.booleans())
    def begin(self, enter: bool) -> None:
        scope = memory_scope()
        self.parent[scope] = self.entered[-1] if self.entered else None
        if enter:
            scope.__enter__()
            self.entered.append(scope)

    @precondition(lambda self: self.parent)
    @rule(data=st.data())
    def begin_inside(self, data: st.DataObject) -> None:
        outer = self.pick(data, list(self.parent))
        self.parent[outer.scope()] = outer

    @precondition(lambda self: self.parent)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        scope = self.pick(data, list(self.parent))
        scope.dispose()
        self.ended(scope)

    @precondition(lambda self: self.parent and self.owner)
    @rule(data=st.data(), keep=st.booleans())
    def move(self, data: st.DataObject, keep: bool) -> None:
        scope, x = self.pick(data, list(self.parent)), self.pick(data, list(self.owner))
        if keep:
            assert scope.keep(x) is x
            self.owner[x] = self.parent[scope]
        else:
            assert scope.track(x) is x
            self.owner[x] = scope

    @precondition(lambda self: self.owner)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        x = self.pick(data, list(self.owner))
        x.dispose()
        del self.owner[x]

    @invariant()
    def all_is_as_in_the_model(self) -> None:
        for x in self.owner:
            assert not x.disposed
        for scope in self.parent:
            assert not scope.disposed
            inside = sum(o is scope for o in self.owner.values()) + sum(p is scope for p in self.parent.values())
            assert scope.size == inside
        stats = memory_stats()
        assert stats.tensors == self.tensors_before + len(self.owner)
        assert stats.host.size == self.size_before + sum(4 * x.size for x in self.owner)
        assert stats.scopes == self.scopes_before + len(self.parent)
        assert stats.host.peak >= stats.host.size

    def teardown(self) -> None:
        for scope in list(self.parent):
            scope.dispose()
        for x in self.owner:
            x.dispose()
        stats = memory_stats()
        assert [stats.tensors, stats.host.size, stats.scopes] == [self.tensors_before, self.size_before, self.scopes_before]


TestScopes = Scopes.TestCase
TestScopes.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
