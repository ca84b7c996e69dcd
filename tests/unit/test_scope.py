"""Memory scopes: what belongs to them, and when it is freed."""

from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import gather, native_mapping, new_abort_controller, on_abort, sleep
from edgeflow.runtime.memory import Resource, memory_stats
from edgeflow.runtime.scope import MemoryScope, memory_scope, with_memory_scope
from edgeflow.runtime.tensor import Tensor, tensor


def code_of(work: object) -> str:
    """The code of the EdgeflowError that a function raises."""
    with pytest.raises(EdgeflowError) as e:
        work()
    return e.value.code


def test_a_block_frees_what_was_made_in_it() -> None:
    before = memory_stats()
    with memory_scope() as scope:
        a = tensor([1, 2])
        b = tensor([3])
        assert scope.size == 2
        assert memory_stats().tensors == before.tensors + 2
        assert memory_stats().host.size == before.host.size + 12
        assert memory_stats().scopes == before.scopes + 1
    assert a.disposed and b.disposed and scope.disposed
    assert memory_stats().tensors == before.tensors
    assert memory_stats().host.size == before.host.size
    assert memory_stats().scopes == before.scopes
    assert memory_stats().host.peak >= before.host.size + 12


def test_use_after_the_end_raises() -> None:
    with memory_scope() as scope:
        a = tensor([1])
    assert code_of(lambda: a.tolist()) == 'disposed'
    assert code_of(lambda: scope.tensor([1])) == 'disposed'
    assert code_of(lambda: scope.keep([])) == 'disposed'
    assert code_of(lambda: scope.scope()) == 'disposed'
    late = tensor([1])
    assert code_of(lambda: scope.track(late)) == 'disposed'
    assert late.disposed
    scope.dispose()


def test_an_error_leaves_nothing_behind() -> None:
    made: list[Tensor] = []
    with pytest.raises(ValueError):
        with memory_scope():
            made.append(tensor([1]))
            raise ValueError('no')
    assert made[0].disposed

    def fail(scope: MemoryScope) -> None:
        made.append(tensor([2]))
        raise ValueError('no')

    with pytest.raises(ValueError):
        with_memory_scope(fail)
    assert made[1].disposed


def test_keep_moves_to_the_parent() -> None:
    with memory_scope() as outer:
        with memory_scope() as inner:
            a = inner.keep(tensor([1]))
            b = tensor([2])
            assert outer.size == 2
        assert b.disposed and not a.disposed
        assert outer.size == 1
        root = outer.keep(a)
        assert root is a
    assert a.tolist() == [1]
    a.dispose()


def test_what_can_be_kept_and_tracked() -> None:
    with memory_scope() as scope:
        pair = scope.keep([tensor([1]), tensor([2])])
        named = scope.keep(native_mapping({'x': tensor([3])}))
        mapped = scope.keep({'y': tensor([4])})
        assert scope.size == 0
        assert code_of(lambda: scope.keep(3)) == 'invalid-argument'
        assert code_of(lambda: scope.track(['a'])) == 'invalid-argument'
        assert code_of(lambda: scope.track(None)) == 'invalid-argument'
        scope.track(named)
        scope.track(mapped)
        scope.track(pair)
        assert scope.size == 4
    assert pair[0].disposed and pair[1].disposed and mapped['y'].disposed
    assert code_of(lambda: memory_scope().track(pair)) == 'disposed'


def test_tracking_takes_from_another_scope() -> None:
    first = memory_scope()
    second = memory_scope()
    a = first.tensor([1])
    second.track(a)
    assert first.size == 0 and second.size == 1
    first.dispose()
    assert not a.disposed
    second.dispose()
    assert a.disposed


def test_freeing_early_is_fine() -> None:
    with memory_scope() as scope:
        a = tensor([1])
        a.dispose()
        a.dispose()
        assert scope.size == 0


def test_nested_scopes_end_with_their_parent() -> None:
    outer = memory_scope()
    inner = outer.scope()
    a = inner.tensor([1])
    b = inner.keep(inner.tensor([2]))
    assert outer.size == 2
    outer.dispose()
    assert inner.disposed and a.disposed and b.disposed


def test_no_scope_belongs_to_itself() -> None:
    with memory_scope() as outer:
        inner = outer.scope()
        assert code_of(lambda: inner.track(outer)) == 'invalid-argument'
        assert code_of(lambda: inner.track([inner])) == 'invalid-argument'
        assert inner.size == 0


def test_a_scope_that_is_not_entered_takes_nothing() -> None:
    scope = memory_scope()
    a = tensor([1])
    assert scope.size == 0
    scope.dispose()
    assert not a.disposed
    a.dispose()


class Noted(Resource):
    """A resource that notes when it is freed, and may fail at it."""

    def __init__(self, name: str, notes: list[str], fails: bool = False) -> None:
        super().__init__()
        self.name = name
        self.notes = notes
        self.fails = fails
        self._begin('tensor', 0)

    def _free(self) -> None:
        self.notes.append(self.name)
        if self.fails:
            raise ValueError(self.name)


def test_the_newest_goes_first_and_a_failure_stops_nobody() -> None:
    notes: list[str] = []
    scope = memory_scope()
    scope.track([Noted('a', notes), Noted('b', notes, True), Noted('c', notes)])
    with pytest.raises(ValueError, match='b'):
        scope.dispose()
    assert notes == ['c', 'b', 'a']
    assert scope.disposed


def test_the_synchronous_function_form() -> None:
    made: list[Tensor] = []

    def work(scope: MemoryScope) -> Tensor:
        made.append(tensor([1]))
        return scope.keep(tensor([2]))

    kept = with_memory_scope(work)
    assert made[0].disposed
    assert kept.tolist() == [2]
    kept.dispose()


async def test_the_asynchronous_function_form() -> None:
    made: list[Tensor] = []

    async def work(scope: MemoryScope) -> Tensor:
        made.append(scope.tensor([1]))
        await sleep(0)
        made.append(scope.tensor([2]))
        assert not made[0].disposed
        return scope.keep(scope.tensor([3]))

    kept = await with_memory_scope(work)
    assert made[0].disposed and made[1].disposed
    assert kept.tolist() == [3]
    kept.dispose()


async def test_asynchronous_code_is_not_tracked_unnamed() -> None:
    """Not before its first await either: there JS would track and Python not."""
    made: list[Tensor] = []

    async def work(scope: MemoryScope) -> None:
        made.append(tensor([1]))
        await sleep(0)
        made.append(tensor([2]))

    await with_memory_scope(work)
    assert made[0].tolist() == [1] and made[1].tolist() == [2]
    for x in made:
        x.dispose()


async def test_the_asynchronous_block() -> None:
    async with memory_scope() as scope:
        a = scope.tensor([1])
        await sleep(0)
        b = tensor([2])
        assert scope.size == 1
    assert a.disposed and not b.disposed
    b.dispose()


async def test_interleaved_scopes_do_not_mix() -> None:
    """Two tasks that take turns, each with synchronous blocks between its awaits."""
    log: list[str] = []

    async def task(name: str, count: int) -> list[Tensor]:
        kept: list[Tensor] = []

        async def work(scope: MemoryScope) -> None:
            own: list[Tensor] = []
            for i in range(count):
                own.append(scope.tensor([i]))
                with memory_scope() as inner:
                    temporary = tensor([i, i])
                    assert inner.size == 1
                assert temporary.disposed
                log.append(name)
                await sleep(0)
                assert scope.size == len(own)
                for x in own:
                    assert not x.disposed
            kept.append(scope.keep(own[0]))

        await with_memory_scope(work)
        return kept

    results = await gather([task('a', 3), task('b', 5), task('c', 1)])
    assert log[:4] == ['a', 'b', 'c', 'a']
    for kept in results:
        assert kept[0].tolist() == [0]
        kept[0].dispose()


async def test_a_failure_frees_what_is_under_way() -> None:
    """What ends after its scope has ended is freed at once."""
    late: list[Tensor] = []
    codes: list[str] = []

    async def slow(scope: MemoryScope) -> None:
        await sleep(5)
        late.append(tensor([1]))
        try:
            scope.track(late[0])
        except EdgeflowError as error:
            codes.append(error.code)

    async def fast() -> None:
        await sleep(0)
        raise ValueError('no')

    async def work(scope: MemoryScope) -> None:
        late_work.append(slow(scope))
        await fast()

    late_work: list[object] = []
    with pytest.raises(ValueError):
        await with_memory_scope(work)
    await gather(late_work)
    assert late[0].disposed and codes == ['disposed']


async def test_cancelling_frees_all() -> None:
    controller = new_abort_controller()
    made: list[Tensor] = []

    async def work(scope: MemoryScope) -> None:
        made.append(scope.tensor([1]))
        aborted: list[bool] = []
        on_abort(controller.signal, lambda: aborted.append(True))
        while len(aborted) == 0:
            await sleep(1)
        raise EdgeflowError('aborted', 'cancelled', {})

    async def cancel() -> None:
        await sleep(3)
        controller.abort()

    with pytest.raises(EdgeflowError) as e:
        await gather([with_memory_scope(work), cancel()])
    assert e.value.code == 'aborted'
    assert made[0].disposed
