"""A run that is sent before its turn: what the page sends and when, and what the worker makes of one that is withdrawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import pause, start_task
from edgeflow.runtime.ahead import Ahead
from edgeflow.runtime.messages import Parcel, error_fields
from edgeflow.runtime.pool import PoolWorker
from edgeflow.runtime.scheduler_task import RunContext
from edgeflow.runtime.worker import Server


async def settle() -> None:
    """Let everything happen that waits for nothing but its turn."""
    for _ in range(3):
        await pause()


class Desk:
    """A worker, played by host.port.WorkerHandle that notes what it is told; the test speaks for it."""

    def __init__(self) -> None:
        self.messages: list[dict[str, object]] = []
        self.say: Callable[[object], None] = lambda message: None
        self.worker: PoolWorker = PoolWorker(1, self, '1')
        self.say({'kind': 'ready', 'version': '1'})

    def post(self, message: dict[str, object], transfer: list[object]) -> None:
        self.messages.append(message)

    def on_message(self, callback: Callable[[object], None]) -> None:
        self.say = callback

    def on_error(self, callback: Callable[[str], None]) -> None:
        """It does not fail."""

    def hold(self, busy: bool) -> None:
        """The process lives anyway."""

    def terminate(self) -> None:
        """There is no thread."""

    def heard(self) -> list[str]:
        """What the worker was told, with the numbers of calls."""
        return [f"{message['kind']} {message['call']}" for message in self.messages]

    def work(self) -> None:
        """The page asks for a run, and waits for it."""
        call = self.worker.ask(Parcel('run'))
        start_task(lambda: self.worker.work_on(call, None))

    def answer(self, call: int, code: str = '') -> None:
        if code == '':
            self.say({'kind': 'answer', 'call': call, 'number': call})
        else:
            self.say({'kind': 'failure', 'call': call, 'error': error_fields(EdgeflowError(code, 'no', {}))})


async def test_it_is_sent_behind_what_the_worker_works_on() -> None:
    desk = Desk()
    ahead = Ahead(desk.worker, Parcel('run'))
    assert desk.heard() == [], 'it would be the first'
    desk.work()
    await settle()
    assert desk.heard() == ['run 1', 'run 2']
    other = Ahead(desk.worker, Parcel('run'))
    assert desk.heard() == ['run 1', 'run 2', 'run 3'], 'at once, where there is work'
    for call in [1, 2, 3]:
        desk.answer(call)
    assert (await ahead.answer(None) or {})['number'] == 2
    assert (await other.answer(None) or {})['number'] == 3


async def test_what_is_starting_is_sent_at_once() -> None:
    desk = Desk()
    ahead = Ahead(desk.worker, Parcel('run'), True)
    following = Ahead(desk.worker, Parcel('run'))
    assert desk.heard() == ['run 1']
    answers: list[object] = []

    async def take() -> None:
        answers.append((await ahead.answer(None) or {})['number'])

    start_task(take)
    await settle()
    assert desk.heard() == ['run 1', 'run 2'], 'behind what is being waited for'
    desk.answer(1)
    desk.answer(2)
    await settle()
    assert answers == [1]
    assert (await following.answer(None) or {})['number'] == 2


async def test_what_was_not_sent_or_withdrawn_in_time_is_to_be_asked_anew() -> None:
    desk = Desk()
    early = Ahead(desk.worker, Parcel('run'))
    early.take_back()
    desk.work()
    await settle()
    ahead = Ahead(desk.worker, Parcel('run'))
    ahead.take_back()
    assert desk.heard() == ['run 1', 'run 2', 'withdraw 2']
    desk.answer(2, 'aborted')
    assert await early.answer(None) is None
    assert await ahead.answer(None) is None


async def test_what_was_withdrawn_too_late_is_used() -> None:
    desk = Desk()
    desk.work()
    await settle()
    ahead = Ahead(desk.worker, Parcel('run'))
    ahead.take_back()
    desk.answer(2)
    assert (await ahead.answer(None) or {})['number'] == 2


async def test_its_failures_are_its_own() -> None:
    for code in ['run-failed', 'worker-lost', 'aborted']:
        desk = Desk()
        desk.work()
        await settle()
        ahead = Ahead(desk.worker, Parcel('run'))
        desk.answer(2, code)
        with pytest.raises(EdgeflowError) as e:
            await ahead.answer(None)
        assert e.value.code == code


async def test_once_it_is_its_turn_it_is_cancelled_as_any_run() -> None:
    desk = Desk()
    desk.work()
    await settle()
    ahead = Ahead(desk.worker, Parcel('run'))
    control = RunContext(1, lambda: 0)
    codes: list[str] = []

    async def take() -> None:
        try:
            await ahead.answer(control)
        except EdgeflowError as error:
            codes.append(error.code)

    start_task(take)
    await settle()
    control.cancel(EdgeflowError('timeout', 'late', {}))
    assert desk.heard() == ['run 1', 'run 2', 'cancel 2']
    desk.answer(2, 'aborted')
    await settle()
    assert codes == ['aborted']


class Line:
    """host.port.WorkerPort that notes what the worker answers. then: called with each answer's call."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.then: Callable[[int], None] = lambda call: None

    def post(self, message: object, transfer: list[object]) -> None:
        fields = cast('dict[str, object]', message)
        error = cast('dict[str, object]', fields['error'])
        self.said.append(f"{fields['call']} {error['code']}")
        self.then(cast(int, fields['call']))

    def on_message(self, callback: Callable[[object], None]) -> None:
        """Nobody else speaks."""

    async def settle(self) -> None:
        """Its end is noticed."""


def run_of_no_model(call: int) -> dict[str, object]:
    """A run that fails with 'disposed' when its turn comes."""
    return {'kind': 'run', 'call': call, 'number': 7, 'timed': False}


async def test_a_worker_forgets_what_is_withdrawn_while_it_waits_there() -> None:
    line = Line()
    server = Server(line, '1')
    server.hear(run_of_no_model(1))
    server.hear(run_of_no_model(2))
    server.hear({'kind': 'withdraw', 'call': 2})
    for _ in range(3):
        await pause()
    assert line.said == ['2 aborted', '1 disposed']


async def test_a_worker_hears_between_two_runs_what_was_said_during_the_first() -> None:
    line = Line()
    server = Server(line, '1')

    async def withdraw() -> None:
        server.hear({'kind': 'withdraw', 'call': 2})
        server.hear(run_of_no_model(3))

    line.then = lambda call: start_task(withdraw) if call == 1 else None
    server.hear(run_of_no_model(1))
    server.hear(run_of_no_model(2))
    for _ in range(6):
        await pause()
    assert line.said == ['1 disposed', '2 aborted', '3 disposed']
