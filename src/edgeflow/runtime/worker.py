"""What a worker does: it holds executables and runs them as its page asks, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from edgeflow.backends.ahead import start_ahead
from edgeflow.backends.choose import fetch_backend
from edgeflow.backends.contract import HelperLink, KernelTime, Placement
from edgeflow.backends.generation import GeneratingExecutable
from edgeflow.backends.wasm.crew import Link
from edgeflow.backends.wasm.helper import Helper
from edgeflow.backends.wasm.kernels import Preparation, use_kernels
from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import bytes_memory, now, open_port, pause, start_task, use_part_addresses, worker_port
from edgeflow.host.port import Bytes, WorkerPort
from edgeflow.runtime.messages import (
    Parcel, error_fields, infos_fields, memory_fields, placement_fields, read_feeds,
)
from edgeflow.runtime.opening import ModelFiles


class Order:
    """A question under way; the RunControl of its run."""

    def __init__(self, message: dict[str, object]) -> None:
        self.message: dict[str, object] = message
        self.times: list[KernelTime] | None = None
        self.keeps: bool = False
        self._cancelled: bool = False
        self._callbacks: list[Callable[[], None]] = []

    def cancelled(self) -> bool:
        return self._cancelled

    def on_cancel(self, callback: Callable[[], None]) -> None:
        if self._cancelled:
            callback()
        else:
            self._callbacks.append(callback)

    def cancel(self) -> None:
        """The page wants the result no more."""
        self._cancelled = True
        for callback in self._callbacks:
            callback()
        self._callbacks = []


@dataclass
class Arrival:
    """A model whose files are on their way."""

    preparation: Preparation
    files: ModelFiles


async def begin_reading(arrival: Arrival, files: ModelFiles, head: Bytes) -> None:
    """Read the nodes with which a model begins: while its weights come, there is time for it."""
    from edgeflow.onnx.reader import read_head
    files.head = read_head(head)
    if arrival.files is files:
        arrival.preparation.table = files.head.table


class Server:
    """Answers what comes through `port`."""

    def __init__(self, port: WorkerPort, version: str) -> None:
        self._port: WorkerPort = port
        self._version: str = version
        self._executables: dict[int, GeneratingExecutable] = {}
        self._placements: dict[int, Placement] = {}
        self._arrivals: dict[int, Arrival] = {}
        # What waits, and what is under way.
        self._orders: list[Order] = []
        self._current: Order | None = None
        # Runs of models that take several at a time: they begin at once, in order.
        self._beside: list[Order] = []
        self._busy: bool = False
        self._links: dict[int, Link] = {}
        self._helpers: dict[int, Helper] = {}

    async def serve(self) -> None:
        """Say that it is ready, and listen. The lock by which its end is noticed takes its time: it may follow."""
        self._port.on_message(lambda message: self.hear(cast('dict[str, object]', message)))
        self._port.post({'kind': 'ready', 'version': self._version}, [])
        await self._port.settle()
        self._port.post({'kind': 'settled', 'call': 0}, [])

    def hear(self, message: dict[str, object]) -> None:
        """Take a message: orders wait for their turn, all else is done at once."""
        kind = message['kind']
        if kind == 'start':
            use_kernels(message['kernels'])
            use_part_addresses(message['parts'])
            env.wasm_location = cast('str | None', message['wasm'])
        elif kind == 'cancel' or kind == 'withdraw':
            self._cancel(cast(int, message['call']), kind == 'cancel')
        elif kind in ['link', 'help', 'unlink']:
            start_task(lambda: self._relate(message))
        elif kind == 'piece':
            self._arrival(message).preparation.receive(
                cast(str, message['location']), cast(int, message['start']), cast('Bytes', message['data']), cast('int | None', message['total']))
        elif kind == 'stored':
            start_task(lambda: self._read_stored(Order(message)))
        elif kind == 'external' or kind == 'work':
            start_task(lambda: self._survey(Order(message)))
        elif kind == 'reset':
            arrival = self._arrival(message)
            arrival.preparation.reset(cast(str, message['location']))
            arrival.files = ModelFiles()
        elif kind == 'dispose':
            given_up = self._arrivals.pop(cast(int, message['number']), None)
            if given_up is not None:
                given_up.preparation.leave()
            self._placements.pop(cast(int, message['number']), None)
            executable = self._executables.pop(cast(int, message['number']), None)
            if executable is not None:
                executable.dispose()
        elif kind == 'run' and self._takes_more(message):
            beside = Order(message)
            self._beside.append(beside)
            start_task(lambda: self._run_beside(beside))
        else:
            self._orders.append(Order(message))
            if not self._busy:
                self._busy = True
                for helper in self._helpers.values():
                    helper.step_away()
                start_task(self._work)

    async def _relate(self, message: dict[str, object]) -> None:
        """A way to another worker begins or ends, in the order in which that was said. What comes on it meanwhile waits in it."""
        from edgeflow.backends.wasm.crew import Link
        from edgeflow.backends.wasm.helper import Helper

        kind = message['kind']
        worker = cast(int, message['worker'])
        if kind == 'link':
            self._links[worker] = Link(open_port(message['end']))
        elif kind == 'help':
            self._helpers[worker] = Helper(open_port(message['end']), lambda: self._busy)
        else:
            link = self._links.pop(worker, None)
            if link is not None:
                link.lose()
            helper = self._helpers.pop(worker, None)
            if helper is not None:
                helper.close()

    def _takes_more(self, message: dict[str, object]) -> bool:
        executable = self._executables.get(cast(int, message['number']))
        return executable is not None and executable.flights > 1

    async def _run_beside(self, order: Order) -> None:
        parcel = await self._answer(order)
        self._beside = [other for other in self._beside if other is not order]
        self._reply(order, parcel)

    def _cancel(self, call: int, begun: bool) -> None:
        """What waits ends at once; if `begun` says so, what is under way at its next step."""
        for order in self._beside if self._current is None else self._beside + [self._current]:
            if order.message['call'] == call and begun:
                order.cancel()
        for order in self._orders:
            if order.message['call'] == call:
                self._orders = [other for other in self._orders if other is not order]
                self._reply(order, failure(EdgeflowError('aborted', 'the work was cancelled before it began', {})))

    def _arrival(self, message: dict[str, object]) -> Arrival:
        """Of the model that a message is about."""
        number = cast(int, message['number'])
        if number not in self._arrivals:
            preparation = Preparation(self._give_back)
            arrival = Arrival(preparation, ModelFiles())
            preparation.on_head.append(lambda head: start_ahead(lambda: begin_reading(arrival, arrival.files, head)))
            self._arrivals[number] = arrival
            start_ahead(lambda: fetch_backend(cast(str, message['device']), cast(int, message['shares']), preparation))
        return self._arrivals[number]

    def _give_back(self, data: Bytes) -> None:
        self._port.post({'kind': 'spent', 'data': data}, [bytes_memory(data)])

    async def _read_stored(self, order: Order) -> None:
        """Read a piece of a file from where it is stored."""
        message = order.message
        parcel = Parcel('answer')
        parcel.fields['read'] = await self._arrival(message).preparation.read_stored(
            cast(str, message['location']), cast(int, message['start']), cast(int, message['size']), message['place'], cast('int | None', message['total']))
        self._reply(order, parcel)

    async def _survey(self, order: Order) -> None:
        """Tell which external data files a model names, or how much it computes: beside what is under way, as its loading waits for it."""
        try:
            parcel = Parcel('answer')
            files = await self._ready_files(order.message)
            if order.message['kind'] == 'external':
                parcel.fields['files'] = await files.external_files()
            else:
                from edgeflow.runtime.cost import work_of
                parcel.fields['work'] = await work_of(files)
        except Exception as error:
            parcel = failure(error)
        self._reply(order, parcel)

    async def _ready_files(self, message: dict[str, object]) -> ModelFiles:
        """The files of a model, as far as they are here. What was read of them for a question before is not read again."""
        arrival = self._arrival(message)
        arrival.files.image = await arrival.preparation.image()
        return arrival.files

    async def _work(self) -> None:
        while len(self._orders) > 0:
            order = self._orders.pop(0)
            self._current = order
            parcel = await self._answer(order)
            self._current = None
            self._reply(order, parcel)
            if len(self._orders) > 0:
                # What has been said meanwhile may concern the next one.
                await pause()
        self._busy = False

    def _reply(self, order: Order, parcel: Parcel) -> None:
        parcel.fields['call'] = order.message['call']
        try:
            self._port.post(parcel.fields, parcel.transfer)
        except Exception as error:
            refusal = failure(error)
            refusal.fields['call'] = order.message['call']
            self._port.post(refusal.fields, [])

    async def _answer(self, order: Order) -> Parcel:
        try:
            kind = order.message['kind']
            if kind == 'load':
                return await self._load(order)
            if kind == 'describe':
                return await self._describe(order.message)
            if kind == 'held':
                from edgeflow.runtime.resident import answer_held
                return await answer_held(order.message)
            times: list[KernelTime] = []
            order.times = times if order.message['timed'] else None
            began = now()
            parcel = await self._run(order)
            parcel.fields['ran'] = now() - began
            parcel.fields['times'] = [[time.device, time.kernel, time.node, time.ms] for time in times]
            return parcel
        except Exception as error:
            return failure(error)

    async def _load(self, order: Order) -> Parcel:
        message = order.message
        files = await self._ready_files(message)
        number = cast(int, message['number'])
        arrival = self._arrivals.pop(number)
        from edgeflow.runtime.loading import open_files
        try:
            opened = await open_files(files, cast(str, message['device']), order.cancelled, cast(int, message['shares']))
        finally:
            arrival.preparation.leave()
        self._executables[number] = opened.executable
        opened.executable.on_loss(lambda: self._port.post({'kind': 'lost', 'number': number}, []))
        parcel = Parcel('answer')
        parcel.fields['flights'] = opened.executable.flights
        parcel.fields['inputs'] = infos_fields(opened.inputs)
        parcel.fields['outputs'] = infos_fields(opened.outputs)
        self._add_placement(parcel, number)
        parcel.fields['memory'] = memory_fields(opened.executable.memory())
        return parcel

    async def _run(self, order: Order) -> Parcel:
        message = order.message
        executable = self._executable(message)
        if order.cancelled():
            raise EdgeflowError('aborted', 'the run was cancelled before it began', {})
        if message['kind'] == 'decode':
            from edgeflow.runtime.decoding import answer_decoding
            return await answer_decoding(await executable.decoder(), message, order)
        control = order if message['cancellable'] else None
        feeds = read_feeds(message)
        order.keeps = cast(bool, message['keeps'])
        if order.keeps or len(cast('list[object]', message['held'])) > 0:
            from edgeflow.runtime.resident import find_held
            find_held(feeds, message)
        helpers: list[HelperLink] = []
        for worker in cast('list[int]', message['helpers']):
            link = self._links.get(worker)
            if link is not None:
                helpers.append(link)
        executable.lend(helpers)
        results = await executable.run(feeds, cast('list[str]', message['outputs']), control, True)
        parcel = Parcel('answer')
        parcel.add_feeds(results, True)
        if order.keeps:
            from edgeflow.runtime.resident import keep_here
            keep_here(results, parcel)
        parcel.fields['memory'] = memory_fields(executable.memory())
        parcel.fields['divisible'] = executable.divisible()
        self._add_placement(parcel, cast(int, message['number']))
        return parcel

    def _add_placement(self, parcel: Parcel, number: int) -> None:
        """Tell where a model's nodes run, if that is news."""
        placement = self._executables[number].placement()
        if self._placements.get(number) is not placement:
            self._placements[number] = placement
            parcel.fields['placement'] = placement_fields(placement)

    async def _describe(self, message: dict[str, object]) -> Parcel:
        executable = self._executable(message)
        parcel = Parcel('answer')
        parcel.fields['plan'] = await executable.describe_plan(cast('dict[str, list[int]]', message['shapes']), cast('list[str]', message['outputs']))
        return parcel

    def _executable(self, message: dict[str, object]) -> GeneratingExecutable:
        executable = self._executables.get(cast(int, message['number']))
        if executable is None:
            raise EdgeflowError('disposed', 'expected a living model; this one was disposed', {})
        return executable


def failure(error: Exception) -> Parcel:
    """The answer for what failed."""
    parcel = Parcel('failure')
    parcel.fields['error'] = error_fields(error)
    return parcel


def serve_in_worker(version: str) -> None:
    """In a worker that edgeflow started: begin to serve its page. Anywhere else: nothing."""
    port = worker_port()
    if port is not None:
        server = Server(port, version)
        start_task(server.serve)
