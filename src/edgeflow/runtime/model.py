"""A model that is ready to run: checks what it is given, and hands it to its backend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from edgeflow.backends.choose import candidates, choose_device
from edgeflow.backends.contract import HERE, Feed, KernelTime, MemoryUse, Placement, RunControl
from edgeflow.backends.generation import Decoder, GeneratingExecutable
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import gather, native_mapping, new_abort_controller, new_deferred, now, signal_aborted, to_dict, watch_collection
from edgeflow.host.port import AbortSignal, Bytes, CollectionWatch, Deferred
from edgeflow.ir.graph import ValueInfo
from edgeflow.ir.pooled import is_pooled
from edgeflow.options import check_choice, nearest, public
from edgeflow.runtime.ahead import Ahead
from edgeflow.runtime.batching import Batching
from edgeflow.runtime.exchange import bring_feeds, dispose_all, given_value, nested_feed, tensor_feed
from edgeflow.runtime.generation import Generation, GenerationSession
from edgeflow.runtime.memory import ModelEntry, Resource, with_room
from edgeflow.runtime.opening import MODEL, ModelFiles, Opened
from edgeflow.runtime.page import page_scheduler
from edgeflow.runtime.proxy import Place, RemoteExecutable
from edgeflow.runtime.requests import RunRequest
from edgeflow.runtime.scheduler_records import Batcher
from edgeflow.runtime.scheduler_task import RunContext
from edgeflow.runtime.tensor import Tensor, describe

if TYPE_CHECKING:
    from edgeflow.runtime.ahead import Ahead
    from edgeflow.runtime.chain import Chain


@dataclass(frozen=True)
class RunOptions:
    """The options of Model.run() that say when and how."""

    priority: Literal['low', 'normal', 'high', 'critical'] = 'normal'
    signal: AbortSignal | None = None
    deadline: float | None = None
    transfer: bool = False
    location: Literal['host', 'gpu'] = 'host'


class _Watched:
    """Models whose users forgot to dispose of them: the scheduler forgets them when they are collected as garbage."""

    def __init__(self) -> None:
        self._watch: CollectionWatch | None = None

    def collection(self) -> CollectionWatch:
        if self._watch is None:
            self._watch = watch_collection(lambda model_id: page_scheduler().remove_model(cast(str, model_id)))
        return self._watch


_watched = _Watched()


class Model(Resource):
    """An ONNX model on a device. Made by load_model().

    inputs, outputs: what the model declares, in its order; a dim is a number, a symbol ('batch_size') or '' if unknown.
    device: where it runs; with several to choose from, the last one may be another than the first. id: its name in the scheduler's events and statistics.
    """

    def __init__(
        self, inputs: list[ValueInfo], outputs: list[ValueInfo], device: str, executable: GeneratingExecutable, name: str = '',
        reload: Callable[[AbortSignal], Awaitable[GeneratingExecutable]] | None = None, may_evict: bool = True,
        batcher: Batcher | None = None, chain: Chain | None = None,
    ) -> None:
        """reload: loads it again after it has given up its memory (env.memory_budget) or lost its worker; None: that cannot be.

        may_evict: whether reload() works for sure, so that it can give up its memory. batcher: merges its runs, if at all.
        chain: the devices that it may go on on; None: it has one.
        """
        super().__init__()
        self.inputs: list[ValueInfo] = inputs
        self.outputs: list[ValueInfo] = outputs
        self.device: str = device
        self._executable: GeneratingExecutable | None = executable
        self._reload: Callable[[AbortSignal], Awaitable[GeneratingExecutable]] | None = reload
        self._may_evict: bool = may_evict and reload is not None
        self._name: str = name
        self._chain: Chain | None = chain
        # Of several runs under way one loads it again.
        self._loading: Deferred | None = None
        self._generation: Generation | None = None
        self._begin('model', 0)
        self._entry: ModelEntry = ModelEntry(self.number(), name, device, self)
        self._entry.update(executable.memory())
        self.id: str = f'model {self.number()}'
        self._batcher: Batcher | None = batcher
        self._register(executable)
        _watched.collection().watch(self, self.id)

    def _register(self, executable: GeneratingExecutable) -> None:
        # What could be merged waits for that, rather than behind others on the GPU.
        page_scheduler().register_model(
            self.id, lane=executable.lane, batcher=self._batcher, limit=executable.flights if self._batcher is None else 1)

    @public
    async def run(
        self, inputs: dict[str, Tensor | list[Tensor] | None], *, outputs: list[str] | None = None,
        priority: Literal['low', 'normal', 'high', 'critical'] = 'normal', signal: AbortSignal | None = None,
        deadline: float | None = None, transfer: bool = False, location: Literal['host', 'gpu'] = 'host',
    ) -> dict[str, Tensor]:
        """Run once with these inputs by name, and give the outputs by name as new tensors.

        A sequence is a list of tensors, an optional without an element None, a map (of ai.onnx.ml) a dict.

        outputs: the names that are wanted, all if left out; what the others alone need is not computed.
        priority: which of the waiting runs of all models goes first. signal: an AbortSignal that cancels the run, waiting or
        running. deadline: the time by which it must have ended, in ms of performance.now(), in Python of
        time.perf_counter() * 1000. transfer: the inputs are given up and disposed, so that their memory can move to the model's
        worker; otherwise it is copied there when the run begins, and must not be changed until it has ended. location: 'gpu' leaves
        there what the GPU has made (Tensor.location), for other models to take; such an input must live until the run has ended.
        EdgeflowError: 'invalid-input', 'disposed', 'aborted', 'timeout', 'run-failed', 'unsupported-op', 'out-of-memory',
        'worker-lost', 'invalid-argument' (priority, location).
        """
        check_choice(location, ['host', 'gpu'], 'location')
        return native_mapping(await self.run_tensors(to_dict(inputs), outputs, RunOptions(priority, signal, deadline, transfer, location)))

    async def open_session(self, inputs: dict[str, Tensor] | None = None) -> GenerationSession:
        """Memory for texts of a decoder, token by token. inputs: what else it takes (an encoder's states and mask).

        EdgeflowErrors: 'unsupported-op' for what is no decoder, 'invalid-input', 'disposed', 'worker-lost'.
        """
        self._check_living()
        if 'input_ids' not in self.input_names() or 'logits' not in [info.name for info in self.outputs]:
            raise EdgeflowError('unsupported-op', "the model is no decoder: expected an input 'input_ids' and an output 'logits'", {})
        from edgeflow.runtime.generation import Generation, session_inputs
        feeds = check_inputs(session_inputs(self.inputs), {} if inputs is None else to_dict(inputs))
        await bring_feeds(feeds, None)
        if self._generation is None:
            self._generation = Generation(self.id, self._ready_decoder, lambda: self._entry.update(self.memory()), self._chain)
        return await (self._generation.open(feeds) if self._chain is None else self._chain.open_session(self, self._generation, feeds))

    async def _ready_decoder(self) -> Decoder:
        return await (await self._ready(None)).decoder()

    async def run_tensors(
        self, inputs: dict[str, Tensor], outputs: list[str] | None = None, options: RunOptions | None = None,
    ) -> dict[str, Tensor]:
        """Internal: run() for edgeflow's own code: dicts on both sides, where run() takes and gives plain objects in JS."""
        self._check_living()
        asked = RunOptions() if options is None else options
        if signal_aborted(asked.signal):
            raise EdgeflowError('aborted', 'the run was cancelled before it began', {})
        wanted = self._wanted(outputs)
        feeds = check_inputs(self.inputs, inputs)
        if asked.transfer:
            for tensor in inputs.values():
                if not isinstance(tensor, Tensor) or tensor._held is None:
                    dispose_all(tensor)

        async def work(request: RunRequest, context: RunContext) -> dict[str, Feed]:
            if self._chain is not None:
                return await self._chain.run(self, request, context)
            if request.give:
                return await self._run(request, context)
            return await self.run_here(request, context)

        keeps = asked.location == 'gpu'
        request = RunRequest(work, feeds, wanted, keeps or asked.signal is not None or asked.deadline is not None, asked.transfer, keeps)
        scheduler = page_scheduler()
        self._entry.begin_run()
        try:
            if self._batcher is None:
                task = scheduler.schedule(
                    self.id, lambda context: work(request, context), priority=asked.priority, signal=asked.signal, deadline=asked.deadline,
                    ahead=lambda: self._send_ahead(request))
            else:
                task = scheduler.schedule_batch(self.id, request, priority=asked.priority, signal=asked.signal, deadline=asked.deadline)
            results = cast('dict[str, Feed]', await task.result())
        finally:
            self._entry.end_run()
            self._entry.update(self.memory())
            if asked.transfer:
                for tensor in inputs.values():
                    dispose_all(tensor)
        tensors: dict[str, Tensor] = {}
        for name in wanted:
            result = results[name]
            tensors[name] = given_value(result)
        return tensors

    async def profile(self, inputs: dict[str, Tensor]) -> list[KernelTime]:
        """Run once, kernel by kernel, and tell how long each took: on a GPU by its own clock, on WASM by this platform's.

        EdgeflowErrors: those of run(), and 'platform' where the GPU has no such clock.
        """
        self._check_living()
        feeds = check_inputs(self.inputs, to_dict(inputs))
        from edgeflow.runtime.profiling import profile_run
        return await profile_run(self.id, self._ready, feeds, self._wanted(None))

    def input_names(self) -> list[str]:
        """The names of the inputs, in the model's order."""
        return [info.name for info in self.inputs]

    def memory(self) -> MemoryUse:
        """Bytes that the model holds; zeros once disposed."""
        return MemoryUse(0, 0, 0, 0) if self._executable is None else self._executable.memory()

    def placement(self) -> Placement:
        """Which operators run where."""
        placement = self._present().placement()
        return Placement(
            placement.device, native_mapping(placement.nodes), native_mapping(placement.fallback), native_mapping(placement.reasons))

    async def describe_plan(self, shapes: dict[str, list[int]]) -> str:
        """The steps that run for inputs of these shapes, one a line; for tests and debugging."""
        return await self._present().describe_plan(to_dict(shapes), [info.name for info in self.outputs])

    def evict(self) -> bool:
        """Internal: memory.Evictable."""
        # The tokens of open sessions are in its memory alone.
        if not self._may_evict or self._executable is None or (self._generation is not None and self._generation.open_sessions > 0):
            return False
        self._executable.dispose()
        self._executable = None
        return True

    def lost(self) -> bool:
        """Internal: memory.Evictable."""
        return self._executable is not None and self._executable.lost()

    async def run_here(self, request: RunRequest, context: RunContext) -> dict[str, Feed]:
        """Internal: a run whose feeds are kept, on the device of now."""
        return await with_room(0, lambda: self._run(request, context))

    async def ready(self) -> GeneratingExecutable:
        """Internal: the executable, to be used in the model's turn."""
        return await self._ready(None)

    def adopt(self, executable: GeneratingExecutable, device: str) -> None:
        """Internal: go on with this executable in place of the one of now."""
        if self.disposed:
            executable.dispose()
            return
        if self._executable is not None:
            self._executable.dispose()
        self._executable = executable
        self.device = device
        self._entry.device = device
        self._register(executable)

    async def _run(self, request: RunRequest, control: RunContext) -> dict[str, Feed]:
        began = now()
        executable = await self._ready(control)
        prepared = now() - began
        if control.cancelled():
            raise EdgeflowError('aborted', 'the run was cancelled before it began', {})
        # In this thread every run lets go now and then, to keep a page smooth; in a worker only one that can be cancelled.
        pauses = executable.lane == HERE or request.pauses
        control.keeps = request.keeps
        await bring_feeds(request.feeds, executable.place)
        give = request.give and self._chain is None
        if isinstance(executable, RemoteExecutable):
            sent = request.sent[0] if len(request.sent) > 0 else None
            results = await executable.run(request.feeds, request.outputs, control if pauses else None, give, control.spare_slots, sent)
            control.ran = prepared + executable.ran
            return results
        return await executable.run(request.feeds, request.outputs, control if pauses else None, give, control.spare_slots)

    def _send_ahead(self, request: RunRequest) -> Callable[[], None] | None:
        """Send a run that is next to its worker, if it has one that takes runs one by one; what takes it back."""
        executable = self._executable
        given_up = request.give or request.keeps or self._chain is not None
        if given_up or not isinstance(executable, RemoteExecutable) or executable.flights > 1 or executable.lost():
            return None
        for feed in request.feeds.values():
            if feed.held is not None:
                return None
        sent: Ahead = executable.ahead(request.feeds, request.outputs, request.pauses)
        request.sent.append(sent)
        return sent.take_back

    async def _ready(self, control: RunControl | None) -> GeneratingExecutable:
        """The executable, loaded again if it was lost or has given up its memory."""
        chain = self._chain
        if self._executable is not None and (self._executable.lost() or (chain is not None and chain.device != self.device)):
            if chain is not None and chain.device == self.device:
                chain.lose()
            if self._reload is None:
                code = 'device-lost' if self.device.startswith('web') else 'worker-lost'
                raise EdgeflowError(code, 'what held the model was lost, and the model cannot be loaded again', {})
            self._executable.dispose()
            self._executable = None
        while self._executable is None and self._reload is not None and not self.disposed:
            if self._loading is None:
                await self._load_again(self._reload, control)
            else:
                await self._loading.result()
        return self._present()

    async def _load_again(self, reload: Callable[[AbortSignal], Awaitable[GeneratingExecutable]], control: RunControl | None) -> None:
        controller = new_abort_controller()
        if control is not None:
            control.on_cancel(lambda: controller.abort())
        loading = new_deferred()
        device = self.device if self._chain is None else self._chain.device
        self._loading = loading
        try:
            loaded: GeneratingExecutable = await with_room(self._entry.largest, lambda: reload(controller.signal))
            self.adopt(loaded, device)
        finally:
            self._loading = None
            loading.resolve(None)

    def _check_living(self) -> None:
        if self.disposed:
            raise EdgeflowError('disposed', 'expected a living model; this one was disposed', {})

    def _present(self) -> GeneratingExecutable:
        """The executable, of a model that lives and has its memory."""
        self._check_living()
        if self._executable is None:
            raise EdgeflowError('disposed', 'the model has given its memory to others, and gets it back with its next run', {})
        return self._executable

    def _free(self) -> None:
        page_scheduler().remove_model(self.id)
        _watched.collection().forget(self)
        if self._executable is not None:
            self._executable.dispose()
            self._executable = None
        self._entry.remove()

    def _label(self) -> str:
        return self._name if self._name != '' else f'{len(self.inputs)} inputs, {len(self.outputs)} outputs'

    def _wanted(self, outputs: list[str] | None) -> list[str]:
        """The names of the wanted outputs, in the model's order."""
        known = [info.name for info in self.outputs]
        if outputs is None:
            return known
        for name in outputs:
            if name not in known and not is_pooled(name):
                raise EdgeflowError('invalid-input', f"the model has no output '{name}'{hint(name, known)}; it has {', '.join(known)}",
                                    {'name': name, 'known': known})
        return [name for name in known if name in outputs] + [name for name in outputs if is_pooled(name)]


def check_inputs(declared: list[ValueInfo], inputs: dict[str, Tensor]) -> dict[str, Feed]:
    """The given tensors as feeds, in the declared order.

    EdgeflowError 'invalid-input' for an unknown or missing name, another dtype, rank or fixed dim than declared, and for
    one symbol that would stand for two numbers.
    """
    known = [info.name for info in declared]
    for name in inputs:
        if name not in known:
            raise EdgeflowError('invalid-input', f"the model has no input '{name}'{hint(name, known)}; it has {', '.join(known)}",
                                {'name': name, 'known': known})
    symbols: dict[str, int] = {}
    owners: dict[str, str] = {}
    feeds: dict[str, Feed] = {}
    for info in declared:
        tensor = inputs.get(info.name)
        if info.dtype[-1:] == ')' and info.name in inputs:
            feeds[info.name] = nested_feed(info, info.dtype, tensor)
            continue
        if tensor is None:
            raise EdgeflowError('invalid-input', f"input '{info.name}' is missing; the model needs {', '.join(known)}",
                                {'name': info.name, 'expected': describe_info(info)})
        if not isinstance(tensor, Tensor):
            raise EdgeflowError('invalid-input', f"input '{info.name}': expected a tensor, as tensor() makes them",
                                {'name': info.name, 'expected': describe_info(info)})
        if tensor.dtype != info.dtype:
            raise mismatch(info, tensor)
        if info.shape is not None:
            check_dims(info, info.shape, tensor, symbols, owners)
        feeds[info.name] = tensor_feed(tensor)
    return feeds


def check_dims(info: ValueInfo, dims: list[int | str], tensor: Tensor, symbols: dict[str, int], owners: dict[str, str]) -> None:
    """Compare a tensor with the declared dims. symbols: what each symbol stands for so far, owners: by which input."""
    if len(dims) != len(tensor.shape):
        raise mismatch(info, tensor)
    for i in range(len(dims)):
        dim = dims[i]
        size = tensor.shape[i]
        if not isinstance(dim, str):
            if dim != size:
                raise mismatch(info, tensor)
        elif dim != '':
            if dim not in symbols:
                symbols[dim] = size
                owners[dim] = info.name
            elif symbols[dim] != size:
                raise EdgeflowError(
                    'invalid-input',
                    f"input '{info.name}': expected {dim} = {symbols[dim]}, as in '{owners[dim]}'; got {size} ({describe(tensor.dtype, tensor.shape)})",
                    {'name': info.name, 'dim': dim, 'expected': symbols[dim], 'got': size})


def mismatch(info: ValueInfo, tensor: Tensor) -> EdgeflowError:
    """The error for a tensor of another type than declared."""
    expected = describe_info(info)
    got = describe(tensor.dtype, tensor.shape)
    return EdgeflowError('invalid-input', f"input '{info.name}': expected {expected}; got {got}",
                         {'name': info.name, 'expected': expected, 'got': got})


def describe_info(info: ValueInfo) -> str:
    """'int64 [batch_size, 128]'; '?' for an unknown dim, '[...]' for an unknown rank."""
    if info.shape is None:
        return info.dtype + ' [...]'
    return info.dtype + ' [' + ', '.join(['?' if dim == '' else str(dim) for dim in info.shape]) + ']'


def hint(name: str, known: list[str]) -> str:
    """' (did you mean ...?)' if a known name is near."""
    near = nearest(name, known)
    return '' if near is None else f" (did you mean '{near}'?)"


async def create_model(data: Bytes, external: dict[str, Bytes], device: str) -> Model:
    """Read an ONNX file and make it ready to run in this thread, on `device` ('auto' or a backend's name).

    external: the bytes of external data files by the locations that the model gives.
    EdgeflowError: 'invalid-model', 'invalid-graph', 'unsupported-op', 'file-missing', 'out-of-memory', 'platform'.
    """
    chosen = (await candidates(choose_device(device)))[0]

    size = len(data)
    for part in external.values():
        size = size + len(part)

    async def load() -> Model:
        files = ModelFiles()
        files.receive(MODEL, 0, data)
        for location in external:
            files.receive(location, 0, external[location])
        from edgeflow.runtime.loading import open_files
        opened = await open_files(files, chosen, lambda: False)
        return Model(opened.inputs, opened.outputs, chosen, opened.executable)

    return await with_room(size, load)


async def open_model(
    place: Place, name: str, bring: Callable[[Place], Awaitable[None]], may_evict: bool, batching: Batching | None = None,
    signal: AbortSignal | None = None,
) -> Model:
    """Make a model ready to run at the place that was taken for it and has its files.

    bring: brings them to another place, when the model has lost its memory. may_evict: whether that works for sure; it fails if
    the files were the caller's, who has let go of them. batching: how runs are merged. signal: cancels it halfway.
    EdgeflowErrors: those of create_model(), 'worker-lost', 'aborted'.
    """

    devices = await candidates(place.device, name)
    chain: Chain | None = None

    async def open_again(signal: AbortSignal | None, device: str) -> Opened:
        other = Place(device, place.divisible)
        try:
            await gather([other.prepare(), bring(other)])
            return await other.open(device, signal)
        finally:
            other.leave()

    async def reload(signal: AbortSignal) -> GeneratingExecutable:
        opened = await open_again(signal, devices[0] if chain is None else chain.device)
        return opened.executable

    if len(devices) > 1 or place.self_check:
        from edgeflow.runtime.chain import open_chain
        chain = await open_chain(devices, place, name, open_again)
    attempts: list[int] = []

    async def load() -> Opened:
        attempts.append(1)
        device = devices[0] if chain is None else chain.device
        return await place.open(device, signal) if len(attempts) == 1 else await open_again(signal, device)

    async def load_with_room() -> Opened:
        return await with_room(place.size, load)

    opened = await (load_with_room() if chain is None else chain.attempt(load_with_room))
    try:
        if signal_aborted(signal):
            raise EdgeflowError('aborted', 'loading the model was cancelled', {})
        batcher: Batcher | None = None
        if batching is not None:
            from edgeflow.runtime.batching import check_batch, model_batcher
            check_batch(opened.inputs, opened.outputs, opened.executable)
            batcher = model_batcher(batching)
    except EdgeflowError:
        opened.executable.dispose()
        raise
    return Model(
        opened.inputs, opened.outputs, devices[0] if chain is None else chain.device, opened.executable, name, reload, may_evict, batcher, chain)
