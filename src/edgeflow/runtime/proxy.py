"""Models that live in a worker, as the page sees them: choosing the place, loading there, and an Executable that asks the worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from edgeflow.backends.choose import candidates
from edgeflow.backends.contract import Feed, HelperLink, KernelTime, MemoryUse, Placement, RunControl
from edgeflow.backends.generation import Decoder
from edgeflow.backends.wasm.kernels import kernel_module
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import forget_spare_memory, gather, new_deferred, on_abort, pause, signal_aborted, watch_collection
from edgeflow.host.port import AbortSignal, Bytes, CollectionWatch, Deferred
from edgeflow.runtime.ahead import Ahead
from edgeflow.runtime.decoding import RemoteDecoder
from edgeflow.runtime.messages import Parcel, read_feeds, read_infos, read_memory, read_placement
from edgeflow.runtime.opening import ModelFiles, Opened
from edgeflow.runtime.page import page_pool, page_shares, refused, take_helpers, take_worker
from edgeflow.runtime.pool import MOST_UNSPENT, PoolWorker, WorkerPool

# Helpers get weights of their own, so a model has them once it has shown that it runs long, and again.
LONG_RUN_MS = 4.0
RUNS_BEFORE_HELP = 2


@dataclass
class _Numbers:
    models: int = 0
    watch: CollectionWatch | None = None


_numbers = _Numbers()


@dataclass(frozen=True)
class Tenancy:
    """A model's place in a worker."""

    pool: WorkerPool
    worker: PoolWorker
    number: int


class RemoteExecutable:
    """contract.Executable over a worker's."""

    def __init__(self, tenancy: Tenancy, placement: Placement, memory: MemoryUse, flights: int) -> None:
        # The GPU or WebNN works on runs of several models, the worker only hands them over.
        self.lane: str = f'{tenancy.worker.lane} far {tenancy.number}' if placement.device == 'webgpu' or flights > 1 else tenancy.worker.lane
        self.flights: int = flights
        # ms that the latest run took in the worker.
        self.ran: float = 0.0
        self.place: object = tenancy.worker if placement.device == 'webgpu' else None
        self._tenancy: Tenancy | None = tenancy
        self._placement: Placement = placement
        self._memory: MemoryUse = memory
        self._decoder: RemoteDecoder | None = None
        self._runs_worth_help: int = 0
        if _numbers.watch is None:
            _numbers.watch = watch_collection(lambda held: end_tenancy(cast(Tenancy, held)))
        _numbers.watch.watch(self, tenancy)

    async def run(
        self, feeds: dict[str, Feed], outputs: list[str], control: RunControl | None = None, give: bool = False,
        spare: Callable[[], int] | None = None, sent: Ahead | None = None,
    ) -> dict[str, Feed]:
        """sent: what ahead() gave for this run, if it was called."""
        worker = self._living().worker
        answer: dict[str, object] | None = None
        if sent is not None and sent.worker is worker:
            answer = await sent.answer(control)
        if answer is None:
            answer = await self._ask_run(worker, feeds, outputs, control, give, spare)
        self.ran = cast(float, answer['ran'])
        if answer['divisible'] and (self._runs_worth_help > 0 or self.ran >= LONG_RUN_MS):
            self._runs_worth_help = self._runs_worth_help + 1
        self._memory = read_memory(answer['memory'])
        if 'placement' in answer:
            self._placement = read_placement(answer['placement'])
        results = read_feeds(answer)
        if 'kept' in answer:
            from edgeflow.runtime.resident import held_there
            held_there(results, answer, self._living())
        return results

    def ahead(self, feeds: dict[str, Feed], outputs: list[str], cancellable: bool) -> Ahead:
        """Send a run that is to come next, so that the worker begins it by itself."""
        tenancy = self._living()
        parcel = run_parcel(feeds, outputs, [], cancellable, False)
        parcel.fields['number'] = tenancy.number
        parcel.fields['timed'] = False
        return Ahead(tenancy.worker, parcel)

    async def _ask_run(
        self, worker: PoolWorker, feeds: dict[str, Feed], outputs: list[str], control: RunControl | None, give: bool, spare: Callable[[], int] | None,
    ) -> dict[str, object]:
        helpers: list[object] = []
        if spare is not None and self._runs_worth_help >= RUNS_BEFORE_HELP and spare() > 0:
            # Those who ask for several runs at once get to ask for the others: they may need the cores.
            await pause()
            for helper in take_helpers(worker, spare()):
                helper.give_kernels(await kernel_module())
                worker.link(helper)
                helpers.append(helper.number)
        parcel = run_parcel(feeds, outputs, helpers, control is not None, give)
        parcel.fields['keeps'] = control is not None and control.keeps
        return await self._ask(parcel, control)

    async def decoder(self) -> Decoder:
        from edgeflow.runtime.decoding import RemoteDecoder
        if self._decoder is None:
            self._decoder = RemoteDecoder(self._ask)
        return self._decoder

    async def _ask(self, parcel: Parcel, control: RunControl | None) -> dict[str, object]:
        """The worker's answer to a question about this model, which `control` may cancel."""
        tenancy = self._living()
        worker = tenancy.worker
        parcel.fields['number'] = tenancy.number
        times = None if control is None else control.times
        parcel.fields['timed'] = times is not None
        answer = await worker.work_on(worker.ask(parcel), control)
        if times is not None:
            times.extend([KernelTime(row[0], row[1], row[2], row[3]) for row in cast('list[list]', answer['times'])])
        return answer

    async def describe_plan(self, shapes: dict[str, list[int]], outputs: list[str]) -> str:
        tenancy = self._living()
        parcel = Parcel('describe')
        parcel.fields['number'] = tenancy.number
        parcel.fields['shapes'] = shapes
        parcel.fields['outputs'] = outputs
        answer = await tenancy.worker.ask(parcel).answer()
        return cast(str, answer['plan'])

    def memory(self) -> MemoryUse:
        return MemoryUse(0, 0, 0, 0) if self._tenancy is None or self.lost() else self._memory

    def placement(self) -> Placement:
        return self._placement

    def lend(self, helpers: list[HelperLink]) -> None:
        """Helpers are found for each run."""

    def divisible(self) -> bool:
        return self._runs_worth_help > 0

    def lost(self) -> bool:
        tenancy = self._tenancy
        return tenancy is not None and (tenancy.worker.lost is not None or tenancy.number in tenancy.worker.bereft)

    def on_loss(self, callback: Callable[[], None]) -> None:
        """The worker tells by itself."""

    def dispose(self) -> None:
        tenancy = self._tenancy
        if tenancy is not None:
            self._tenancy = None
            if _numbers.watch is not None:
                _numbers.watch.forget(self)
            end_tenancy(tenancy)

    def _living(self) -> Tenancy:
        if self._tenancy is None:
            raise EdgeflowError('disposed', 'expected a living model; this one was disposed', {})
        return self._tenancy


def run_parcel(feeds: dict[str, Feed], outputs: list[str], helpers: list[object], cancellable: bool, give: bool) -> Parcel:
    """The question for a run."""
    parcel = Parcel('run')
    parcel.fields['outputs'] = outputs
    parcel.fields['helpers'] = helpers
    parcel.fields['cancellable'] = cancellable
    parcel.fields['keeps'] = False
    parcel.add_feeds(feeds, give)
    return parcel


def end_tenancy(tenancy: Tenancy) -> None:
    """The worker forgets the model, and the pool the worker if it was its last."""
    parcel = Parcel('dispose')
    parcel.fields['number'] = tenancy.number
    tenancy.worker.tell(parcel)
    tenancy.pool.leave(tenancy.worker)


@dataclass(frozen=True)
class _Piece:
    """A piece of a file on its way to a Place; without data: the file begins anew."""

    location: str
    start: int
    data: Bytes | None
    give: bool
    total: int | None


class Place:
    """Where one model is going to live. Taken before its files are there, so that a worker starts while they come.

    Its files go to it as they come, so that this thread need not keep them. Ends with open(), or with leave() if it never comes to that.
    device: choose_device()'s. self_check: whether the device that is chosen in the end must show that it computes what WASM does.
    """

    def __init__(self, device: str, divisible: bool = True, self_check: bool = False) -> None:
        """divisible: whether helpers can be of use to the model, as they are not to a decoder over its cache."""
        _numbers.models = _numbers.models + 1
        self.size: int = 0
        self.on_invalid: Callable[[], Awaitable[None]] | None = None
        self._number: int = _numbers.models
        self.device: str = device
        self.divisible: bool = divisible
        self.self_check: bool = self_check
        self._worker: PoolWorker | None = self._take()
        self._files: ModelFiles = ModelFiles()
        self._waiting: list[_Piece] = []
        self._told: PoolWorker | None = None
        # Resolved when it is clear where the files go.
        self._clear: Deferred = new_deferred()

    def _take(self) -> PoolWorker | None:
        return take_worker(self.device.startswith('webgpu'))

    def elsewhere(self) -> bool:
        """Whether it is to be a worker, not this thread."""
        return self._worker is not None

    def receive(self, location: str, start: int, data: Bytes, total: int | None = None) -> None:
        """opening.Receiver."""
        self.add(location, start, data, True, total)

    def add(self, location: str, start: int, data: Bytes, give: bool, total: int | None = None) -> None:
        """A piece of a file. give: its memory is given up."""
        self.size += len(data)
        self._pass(_Piece(location, start, data, give, total))

    def reset(self, location: str) -> None:
        """opening.Receiver."""
        self._pass(_Piece(location, 0, None, False, None))

    async def room(self) -> None:
        """opening.Receiver. Little waits for a worker that starts, too."""
        if self.size > MOST_UNSPENT:
            await self._clear.result()
        if self._told is not None:
            await self._told.room()

    async def read_stored(self, location: str, start: int, size: int, place: object, total: int | None) -> bool:
        """opening.Receiver."""
        worker = await self._ready()
        if worker is None:
            return False
        self.size += size
        parcel = self._parcel('stored')
        parcel.fields['location'] = location
        parcel.fields['start'] = start
        parcel.fields['size'] = size
        parcel.fields['place'] = place
        parcel.fields['total'] = total
        answer = await worker.ask(parcel).answer()
        return cast(bool, answer['read'])

    async def external_files(self) -> list[str]:
        """opening.Receiver."""
        worker = await self._ready()
        if worker is None:
            return await self._files.external_files()
        answer = await worker.ask(self._parcel('external')).answer()
        return cast('list[str]', answer['files'])

    async def work(self) -> list[float]:
        """How much the model whose files are here has to compute: cost.work_of(). EdgeflowErrors: those of open()."""
        worker = await self._ready()
        if worker is None:
            from edgeflow.runtime.cost import work_of
            return await work_of(self._files)
        answer = await worker.ask(self._parcel('work')).answer()
        return cast('list[float]', answer['work'])

    def _pass(self, piece: _Piece) -> None:
        worker = self._told
        if worker is None and self._worker is not None:
            # What is moved to a worker that cannot be started after all would be lost.
            self._waiting.append(piece)
        elif worker is None and piece.data is not None:
            self._files.receive(piece.location, piece.start, piece.data)
        elif worker is None:
            self._files.reset(piece.location)
        else:
            parcel = self._parcel('piece' if piece.data is not None else 'reset')
            parcel.fields['location'] = piece.location
            if piece.data is None:
                worker.tell(parcel)
                return
            parcel.fields['start'] = piece.start
            parcel.fields['total'] = piece.total
            worker.tell_piece(parcel, piece.data, piece.give)

    def _parcel(self, kind: str) -> Parcel:
        parcel = Parcel(kind)
        parcel.fields['number'] = self._number
        # With the first piece the worker fetches what these need.
        parcel.fields['device'] = self.device
        parcel.fields['shares'] = page_shares() if self.divisible else 1
        return parcel

    async def prepare(self, name: str = '') -> None:
        """Have the devices looked for, the kernels compiled here and the worker started, to be called beside the download. It raises nothing: open() does.

        name: of the model, as open_model() is told it."""
        try:
            await gather([self._look(name), kernel_module(), self._ready()])
        except EdgeflowError:
            return
        finally:
            self._clear.resolve(None)

    async def _look(self, name: str) -> None:
        """Look for devices; with several, fetch what chooses."""
        if len(await candidates(self.device, name)) > 1:
            from edgeflow.runtime.chain import open_chain  # noqa: F401

    async def open(self, device: str, signal: AbortSignal | None) -> Opened:
        """Load the model whose files are here, on one of choose.candidates(). EdgeflowErrors: those of open_files(), and 'worker-lost'."""
        try:
            worker = await self._ready()
            if worker is None:
                from edgeflow.runtime.loading import open_files
                return await open_files(self._files, device, lambda: signal_aborted(signal))
            parcel = self._parcel('load')
            parcel.fields['device'] = device
            call = worker.ask(parcel)
            stop_listening = on_abort(signal, lambda: worker.cancel(call))
            try:
                answer = await call.answer()
            finally:
                stop_listening()
            # What is named a GPU's from now on joins it.
            worker.gpu = worker.gpu or device == 'webgpu'
            tenancy = Tenancy(page_pool(), worker, self._number)
            executable = RemoteExecutable(tenancy, read_placement(answer['placement']), read_memory(answer['memory']), cast(int, answer['flights']))
            self._worker = None
            return Opened(read_infos(answer['inputs']), read_infos(answer['outputs']), executable)
        except EdgeflowError as error:
            if error.code == 'invalid-model' and self.on_invalid is not None:
                await self.on_invalid()
            raise
        finally:
            self.leave()

    def leave(self) -> None:
        """Nothing will live here. Doing it twice is no error."""
        forget_spare_memory()
        worker = self._worker
        if worker is not None:
            self._worker = None
            if self._told is worker:
                worker.tell(self._parcel('dispose'))
            page_pool().leave(worker)
        self._told = None

    async def _ready(self) -> PoolWorker | None:
        """The worker, once it listens and has the kernels; another one if it cannot be started, None if none can."""
        if self._told is not None:
            return self._told
        worker = self._worker
        while worker is not None:
            try:
                await worker.ready()
                if worker.lost is None:
                    break
            except EdgeflowError as error:
                if self._worker is worker:
                    refused(error)
            if self._worker is worker:
                self.leave()
                self._worker = self._take()
            worker = self._worker
        if worker is not None:
            worker.give_kernels(await kernel_module())
        self._flush(worker)
        return worker

    def _flush(self, worker: PoolWorker | None) -> None:
        """Hand on what came before it was clear where to."""
        self._told = worker
        waiting = self._waiting
        self._waiting = []
        for piece in waiting:
            self._pass(piece)
