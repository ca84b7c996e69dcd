"""The pool's choice of workers, questions and answers, and the loss of workers, over workers that are played here."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import start_task
from edgeflow.runtime.messages import Parcel, error_fields
from edgeflow.runtime.pool import Call, PoolWorker, WorkerPool


class PlayedWorker:
    """host.port.WorkerHandle that notes what it is told; the test speaks for it."""

    def __init__(self) -> None:
        self.heard: list[dict[str, object]] = []
        self.ended: bool = False
        self.held: bool = False
        self.say: Callable[[object], None] = lambda message: None
        self.fail: Callable[[str], None] = lambda reason: None

    def post(self, message: dict[str, object], transfer: list[object]) -> None:
        assert not self.ended
        self.heard.append(message)

    def on_message(self, callback: Callable[[object], None]) -> None:
        self.say = callback

    def on_error(self, callback: Callable[[str], None]) -> None:
        self.fail = callback

    def hold(self, busy: bool) -> None:
        self.held = busy

    def terminate(self) -> None:
        self.ended = True


class Stage:
    """A pool with its played workers."""

    def __init__(self, size: int) -> None:
        self.workers: list[PlayedWorker] = []
        self.pool: WorkerPool = WorkerPool(size, '1', self.spawn)

    def spawn(self) -> PlayedWorker:
        worker = PlayedWorker()
        self.workers.append(worker)
        return worker

    def take(self) -> PoolWorker:
        """A worker that is ready."""
        worker = self.pool.take()
        self.workers[worker.number - 1].say({'kind': 'ready', 'version': '1'})
        return worker


async def code_of(call: Call) -> str:
    try:
        await call.answer()
    except EdgeflowError as error:
        return error.code
    return ''


async def test_new_models_go_to_the_least_loaded_worker() -> None:
    stage = Stage(2)
    taken = [stage.pool.take() for i in range(5)]
    assert [worker.number for worker in taken] == [1, 2, 1, 2, 1]
    assert len(stage.workers) == 2
    stage.pool.leave(taken[1])
    assert stage.pool.take().number == 2


async def test_a_worker_ends_with_its_last_model() -> None:
    stage = Stage(2)
    first = stage.take()
    second = stage.take()
    stage.pool.leave(first)
    assert stage.workers[0].ended
    assert not stage.workers[1].ended
    assert stage.pool.take().number == 3
    assert second.lost is None


async def test_answers_find_their_questions_in_any_order() -> None:
    stage = Stage(1)
    worker = stage.take()
    calls = [worker.ask(Parcel('run')) for i in range(3)]
    for number in [2, 3, 1]:
        stage.workers[0].say({'kind': 'answer', 'call': number, 'value': number * 10})
    assert [(await call.answer())['value'] for call in calls] == [10, 20, 30]


async def test_a_failure_is_raised_where_it_was_asked() -> None:
    stage = Stage(1)
    worker = stage.take()
    bad = worker.ask(Parcel('run'))
    good = worker.ask(Parcel('run'))
    stage.workers[0].say({'kind': 'failure', 'call': 1, 'error': error_fields(EdgeflowError('run-failed', 'no', {'a': 1}))})
    stage.workers[0].say({'kind': 'answer', 'call': 2})
    with pytest.raises(EdgeflowError) as e:
        await bad.answer()
    assert (e.value.code, e.value.details['a']) == ('run-failed', 1)
    assert (await good.answer())['call'] == 2


async def test_a_lost_worker_fails_what_it_was_asked_and_is_replaced() -> None:
    stage = Stage(2)
    first = stage.take()
    second = stage.take()
    lost = [first.ask(Parcel('run')), first.ask(Parcel('run'))]
    kept = second.ask(Parcel('run'))
    stage.workers[0].fail('out of cheese')
    assert [await code_of(call) for call in lost] == ['worker-lost', 'worker-lost']
    with pytest.raises(EdgeflowError, match='out of cheese'):
        first.ask(Parcel('run'))
    first.tell(Parcel('dispose'))
    stage.workers[1].say({'kind': 'answer', 'call': 1})
    assert await code_of(kept) == ''
    assert stage.workers[0].ended
    stage.pool.leave(first)
    assert stage.pool.take().number == 3


async def test_late_words_of_a_lost_worker_are_ignored() -> None:
    stage = Stage(1)
    worker = stage.take()
    call = worker.ask(Parcel('run'))
    stage.workers[0].fail('gone')
    stage.workers[0].say({'kind': 'answer', 'call': 1})
    stage.workers[0].fail('again')
    assert await code_of(call) == 'worker-lost'
    assert worker.lost == 'gone'


async def test_a_worker_that_does_not_start_says_so() -> None:
    stage = Stage(2)
    worker = stage.pool.take()
    stage.workers[0].fail('forbidden')
    with pytest.raises(EdgeflowError, match='forbidden') as e:
        await worker.ready()
    assert e.value.code == 'platform'
    stage.pool.limit()
    assert stage.pool.size == 0


async def test_a_worker_of_another_version_is_refused() -> None:
    stage = Stage(1)
    worker = stage.pool.take()
    stage.workers[0].say({'kind': 'ready', 'version': '2'})
    with pytest.raises(EdgeflowError, match='edgeflow 2'):
        await worker.ready()
    assert stage.workers[0].ended


async def test_no_more_workers_than_could_be_started() -> None:
    stage = Stage(3)
    first = stage.take()
    second = stage.pool.take()
    stage.workers[1].fail('too many')
    stage.pool.leave(second)
    stage.pool.limit()
    assert stage.pool.size == 1
    assert stage.pool.take() is first


async def test_the_process_lives_while_something_is_asked() -> None:
    stage = Stage(1)
    worker = stage.pool.take()
    played = stage.workers[0]
    assert played.held
    played.say({'kind': 'ready', 'version': '1'})
    assert not played.held
    call = worker.ask(Parcel('run'))
    assert played.held
    played.say({'kind': 'answer', 'call': 1})
    await call.answer()
    assert not played.held


async def test_those_who_wait_for_the_start_go_on_when_it_is_ready() -> None:
    stage = Stage(1)
    worker = stage.pool.take()
    order: list[str] = []

    async def wait() -> None:
        await worker.ready()
        order.append('ready')

    start_task(wait)
    stage.workers[0].say({'kind': 'ready', 'version': '1'})
    await worker.ready()
    assert len(order) <= 1
    assert worker.started


async def test_idle_workers_help_and_one_is_started_where_there_are_too_few() -> None:
    stage = Stage(3)
    leader = stage.take()
    assert stage.pool.helpers(leader, 2) == []
    assert len(stage.workers) == 2
    assert stage.pool.helpers(leader, 2) == []
    assert len(stage.workers) == 3
    for worker in stage.workers[1:]:
        worker.say({'kind': 'ready', 'version': '1'})
    assert [worker.number for worker in stage.pool.helpers(leader, 2)] == [2, 3]
    assert [worker.number for worker in stage.pool.helpers(leader, 1)] == [2]
    busy = stage.pool.take()
    assert busy.number == 2
    call = busy.ask(Parcel('run'))
    assert [worker.number for worker in stage.pool.helpers(leader, 2)] == [3]
    stage.workers[1].say({'kind': 'answer', 'call': call.number})
    assert [worker.number for worker in stage.pool.helpers(leader, 2)] == [2, 3]


async def test_workers_that_only_help_end_with_the_last_model() -> None:
    stage = Stage(2)
    leader = stage.take()
    stage.pool.helpers(leader, 1)
    stage.workers[1].say({'kind': 'ready', 'version': '1'})
    stage.pool.leave(leader)
    assert [worker.ended for worker in stage.workers] == [True, True]


async def test_both_sides_of_a_link_hear_of_it_once_and_of_its_end() -> None:
    stage = Stage(2)
    leader = stage.take()
    helper = stage.take()
    leader.link(helper)
    leader.link(helper)
    assert [message['kind'] for message in stage.workers[0].heard] == ['link']
    assert [message['kind'] for message in stage.workers[1].heard] == ['help']
    helper.lose('it ended')
    assert [message['kind'] for message in stage.workers[0].heard] == ['link', 'unlink']
    assert stage.workers[0].heard[1]['worker'] == helper.number
