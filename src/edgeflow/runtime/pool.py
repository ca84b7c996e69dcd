"""The workers that models live in, seen from the page: questions and answers, choosing among them, losing them.

A worker is started when a model needs it and ends with its last model. A model that ends so gives all its memory back at
once, which an instance of WebAssembly inside a living worker only does when garbage is collected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from edgeflow.backends.contract import RunControl
from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_channel, new_deferred, part_addresses, reuse_memory_of
from edgeflow.host.port import Bytes, Deferred, WasmModule, WorkerHandle
from edgeflow.runtime.messages import Parcel, read_error

# Memory of pieces that a worker has and has not given back: what a model that is being loaded takes beside its weights.
MOST_UNSPENT = 1 << 22


class Call:
    """A question to a worker. `number`: what 'cancel' refers to."""

    def __init__(self, number: int) -> None:
        self.number: int = number
        self.reply: Deferred = new_deferred()

    async def answer(self) -> dict[str, object]:
        """The worker's answer; raises the error that it raised there, or 'worker-lost'."""
        return cast('dict[str, object]', await self.reply.result())


class PoolWorker:
    """One worker. models: how many live in it or are on their way, tensors on its GPU included. lost: why it is gone, None while it works."""

    def __init__(self, number: int, handle: WorkerHandle, version: str) -> None:
        self.number: int = number
        self.lane: str = f'worker {number}'
        self.models: int = 0
        # Models on the GPU live here.
        self.gpu: bool = False
        self.started: bool = False
        self.lost: str | None = None
        # The models whose GPU it has lost.
        self.bereft: set[int] = set()
        self._handle: WorkerHandle = handle
        self._version: str = version
        self._calls: dict[int, Call] = {}
        self._numbers: int = 0
        # How many runs it works on, and what sends the one behind them.
        self._working: int = 0
        self._follower: Callable[[], None] | None = None
        self._ready: Deferred = new_deferred()
        self._has_kernels: bool = False
        self._linked: list[PoolWorker] = []
        self._unspent: int = 0
        self._spent: Deferred = new_deferred()
        handle.on_message(lambda message: self._hear(cast('dict[str, object]', message)))
        handle.on_error(lambda reason: self.lose(reason))
        handle.hold(True)

    async def ready(self) -> None:
        """Wait until it listens. EdgeflowError 'platform' if it cannot be started here."""
        await self._ready.result()

    def give_kernels(self, module: WasmModule) -> None:
        """Hand over the compiled kernels, the first time."""
        if not self._has_kernels:
            self._has_kernels = True
            parcel = Parcel('start')
            parcel.fields['kernels'] = module
            parcel.fields['parts'] = part_addresses()
            parcel.fields['wasm'] = env.wasm_location
            self.tell(parcel)

    def idle(self) -> bool:
        """Whether it listens, and nothing is asked of it."""
        return self.started and self.lost is None and len(self._calls) == 0

    def link(self, helper: PoolWorker) -> None:
        """Open a way on which this worker can ask `helper` to take shares of its runs, if there is none yet."""
        for other in self._linked:
            if other is helper:
                return
        self._linked.append(helper)
        helper._linked.append(self)
        ends = new_channel()
        for side in [[self, helper, 'link', ends[0]], [helper, self, 'help', ends[1]]]:
            worker = cast(PoolWorker, side[0])
            parcel = Parcel(cast(str, side[2]))
            parcel.fields['worker'] = cast(PoolWorker, side[1]).number
            parcel.fields['end'] = side[3]
            parcel.transfer.append(side[3])
            worker.tell(parcel)

    def ask(self, parcel: Parcel) -> Call:
        """Send a question. 'worker-lost' if the worker is gone."""
        if self.lost is not None:
            raise lost_error(self.lost)
        self._numbers = self._numbers + 1
        call = Call(self._numbers)
        self._calls[call.number] = call
        parcel.fields['call'] = call.number
        if len(self._calls) == 1:
            self._handle.hold(True)
        try:
            self._handle.post(parcel.fields, parcel.transfer)
        except Exception:
            self._forget(call.number)
            raise
        return call

    def tell(self, parcel: Parcel) -> None:
        """Send what has no answer; nobody hears it if the worker is gone."""
        if self.lost is None:
            self._handle.post(parcel.fields, parcel.transfer)

    def tell_piece(self, parcel: Parcel, data: Bytes, give: bool) -> None:
        """As tell(), of a piece of a file, whose memory comes back once it is used."""
        parcel.fields['data'] = parcel.add_bytes(data, give)
        self._unspent += len(data)
        self.tell(parcel)

    async def room(self) -> None:
        """Wait until little of what it was given is still to be used, or it is gone."""
        while self._unspent > MOST_UNSPENT and self.lost is None:
            await self._spent.result()

    def _use(self, size: int) -> None:
        self._unspent -= size
        spent = self._spent
        self._spent = new_deferred()
        spent.resolve(None)

    async def work_on(self, call: Call, control: RunControl | None) -> dict[str, object]:
        """The answer to a question that the worker is working on, which `control` may cancel."""
        if control is not None:
            control.on_cancel(lambda: self.cancel(call))
        self._working = self._working + 1
        follower = self._follower
        self._follower = None
        if follower is not None:
            follower()
        try:
            return await call.answer()
        finally:
            self._working = self._working - 1

    def follow(self, send: Callable[[], None]) -> None:
        """Have a run sent that comes next: now, if the worker is at work, else as soon as it is."""
        if self._working > 0:
            send()
        else:
            self._follower = send

    def cancel(self, call: Call, kind: str = 'cancel') -> None:
        """The answer to a question is not wanted any more: the worker may end it with 'aborted'."""
        parcel = Parcel(kind)
        parcel.fields['call'] = call.number
        self.tell(parcel)

    def withdraw(self, call: Call) -> None:
        """As cancel(), unless the worker has begun."""
        self.cancel(call, 'withdraw')

    def lose(self, reason: str) -> None:
        """The worker is gone, or is ended here: what it was working on fails."""
        if self.lost is not None:
            return
        self.lost = reason
        self._handle.terminate()
        for other in self._linked:
            other.unlink(self)
        self._linked = []
        self._use(0)
        if not self.started:
            self._ready.reject(EdgeflowError('platform', f'no worker can be started here: {reason}', {'reason': reason}))
        calls = self._calls
        self._calls = {}
        for call in calls.values():
            call.reply.reject(lost_error(reason))

    def unlink(self, other: PoolWorker) -> None:
        """The worker `other` is gone."""
        self._linked = [worker for worker in self._linked if worker is not other]
        parcel = Parcel('unlink')
        parcel.fields['worker'] = other.number
        self.tell(parcel)

    def _hear(self, message: dict[str, object]) -> None:
        kind = message['kind']
        if kind == 'ready':
            self._begin(cast(str, message['version']))
            return
        if kind == 'lost':
            self.bereft.add(cast(int, message['number']))
            return
        if kind == 'spent':
            data = cast(Bytes, message['data'])
            self._use(len(data))
            reuse_memory_of(data)
            return
        call = self._forget(cast(int, message['call']))
        if call is None:
            return
        if kind == 'failure':
            call.reply.reject(read_error(message['error']))
        else:
            call.reply.resolve(message)

    def _begin(self, version: str) -> None:
        if version != self._version:
            self.lose(f'its script is edgeflow {version}, the page has {self._version}')
            return
        self.started = True
        self._ready.resolve(None)
        if len(self._calls) == 0:
            self._handle.hold(False)

    def _forget(self, number: int) -> Call | None:
        call = self._calls.pop(number, None)
        if len(self._calls) == 0 and self.started:
            self._handle.hold(False)
        return call


class WorkerPool:
    """At most `size` workers, which spawn() makes."""

    def __init__(self, size: int, version: str, spawn: Callable[[], WorkerHandle]) -> None:
        self.size: int = size
        self._version: str = version
        self._spawn: Callable[[], WorkerHandle] = spawn
        self._workers: list[PoolWorker] = []
        self._started: int = 0

    def take(self, gpu: bool = False) -> PoolWorker:
        """The worker for one more model: a new one while there may be more, else the one with the fewest models.

        Those on the GPU live together, with one device, whose kernels and tensors they share; the GPU works for one at a time anyway.

        EdgeflowError 'platform' if none can be started. Each take() is ended by a leave().
        """
        self._workers = [worker for worker in self._workers if worker.lost is None]
        chosen: PoolWorker | None = None
        for worker in self._workers:
            if chosen is None or (gpu and worker.gpu) or (worker.models < chosen.models and not (gpu and chosen.gpu)):
                chosen = worker
        if chosen is None or (chosen.models > 0 and len(self._workers) < self.size and not (gpu and chosen.gpu)):
            chosen = self._start()
        chosen.gpu = chosen.gpu or gpu
        chosen.models = chosen.models + 1
        return chosen

    def helpers(self, leader: PoolWorker, count: int) -> list[PoolWorker]:
        """At most `count` idle workers to help `leader`. If there are too few, one more is started, for later runs.

        EdgeflowError 'platform' if none can be started.
        """
        found: list[PoolWorker] = []
        living = 0
        for worker in self._workers:
            if worker.lost is None:
                living = living + 1
                if worker is not leader and worker.idle() and len(found) < count:
                    found.append(worker)
        if len(found) < count and living < self.size:
            self._start()
        return found

    def _start(self) -> PoolWorker:
        self._started = self._started + 1
        worker = PoolWorker(self._started, self._spawn(), self._version)
        self._workers.append(worker)
        return worker

    def leave(self, worker: PoolWorker) -> None:
        """A model has gone from a worker, which ends if it was the last. With the last of all end those that only helped."""
        worker.models = worker.models - 1
        if worker.models == 0:
            worker.lose('its last model was disposed')
            self._workers = [other for other in self._workers if other is not worker]
            if len([other for other in self._workers if other.models > 0]) == 0:
                for other in self._workers:
                    other.lose('the last model was disposed')
                self._workers = []

    def limit(self) -> None:
        """No more workers can be started: keep to those that work."""
        self._workers = [worker for worker in self._workers if worker.lost is None]
        self.size = len(self._workers)


def lost_error(reason: str) -> EdgeflowError:
    """The error for what a lost worker was working on."""
    return EdgeflowError('worker-lost', f'the worker that held the model was lost ({reason}); the next run starts another', {'reason': reason})
