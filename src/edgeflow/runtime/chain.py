"""What a model with several devices does: goes on on the next one when one fails, and finds out which is the fastest.

Only models that have a choice fetch this: where WASM is all that there is, nothing of it is there.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from edgeflow.backends.choose import UNKNOWN
from edgeflow.backends.contract import Feed
from edgeflow.backends.generation import Feeding, GeneratingExecutable
from edgeflow.env import Fallback, env
from edgeflow.errors import EdgeflowError
from edgeflow.host.machine import machine
from edgeflow.host.platform import array_list, gather, new_abort_controller, new_deferred, now, start_task, warn
from edgeflow.host.port import AbortSignal, Deferred, Machine
from edgeflow.runtime.cost import by_cost
from edgeflow.runtime.opening import Opened
from edgeflow.runtime.proxy import Place
from edgeflow.runtime.requests import RunRequest
from edgeflow.runtime.scheduler_task import RunContext, call_safely
from edgeflow.runtime.trials import Trial

if TYPE_CHECKING:
    from typing import TypeVar

    from edgeflow.runtime.generation import Generation, GenerationSession
    from edgeflow.runtime.model import Model

    T = TypeVar('T')

Open = Callable[[AbortSignal | None, str], Awaitable[Opened]]

# What says that a device is no good, not that the caller or the model is.
FAULTS = ['device-lost', 'file-missing', 'internal', 'out-of-memory', 'platform', 'worker-lost', 'wrong-results']

# A device is tried out for this long, but at least twice.
TRIAL_MS = 250.0
MOST_RUNS = 20
# A decoder is tried out with a prompt of so many tokens, and answers with so many.
PROMPT = 16
ANSWER = 64

# How far results may be from WASM's, as shares of the largest number: a single one, and all in the mean square.
MOST_APART = 0.05
MEAN_APART = 0.01


class Chain:
    """The devices of one model. device: where it is to run now; the model follows with its next run."""

    def __init__(
        self, name: str, devices: list[str], open_on: Open, self_check: bool = False, due: Trial | None = None, made: Trial | None = None,
    ) -> None:
        """self_check: whether the first results are compared with WASM's. due: the trial that is to be made; made: the one that this order is from."""
        self.device: str = devices[0]
        self._devices: list[str] = devices
        self._name: str = name
        self._rest: list[str] = devices[1:]
        self._open_on: Open = open_on
        self._due: Trial | None = due
        self._made: Trial | None = made
        self._unchecked: bool = self_check
        self._trying: Deferred | None = None
        # Runs under way, and what tells that one has ended.
        self._running: int = 0
        self._ended: Deferred = new_deferred()

    async def attempt(self, work: Callable[[], Awaitable[T]]) -> T:
        """work(), and again on the next device each time that one has failed. Its error where none is left, or where the device is not to blame."""
        while True:
            device = self.device
            try:
                return await work()
            except Exception as error:
                # Another piece of work may have met the failure first.
                if device == self.device:
                    self._go_on(error)

    def lose(self) -> None:
        """The device has been lost between two runs. The last one is opened again."""
        if len(self._rest) > 0:
            self._go_on(EdgeflowError('device-lost', f"'{self.device}' was lost between two runs", {}))

    def _go_on(self, error: Exception) -> None:
        """To the next device, or raise the error."""
        if len(self._rest) == 0 or not is_fault(error):
            raise error
        failed = self.device
        self.device = self._rest.pop(0)
        made = self._made
        if made is not None:
            start_task(made.forget)
        self._tell(failed, error)

    def _tell(self, failed: str, error: Exception) -> None:
        listener = env.on_fallback
        fallback = Fallback(self._name, failed, self.device, error)
        if listener is None:
            warn(f"edgeflow: '{failed}' has failed, {self._name} goes on on '{self.device}': {error}")
        else:
            call_safely(lambda: listener(fallback), 'env.on_fallback')

    async def run(self, model: Model, request: RunRequest, context: RunContext) -> dict[str, Feed]:
        """A run of the model, in its turn."""

        async def once(executable: GeneratingExecutable) -> dict[str, Feed]:
            return await executable.run(await brought(request.feeds), request.outputs, None, False, context.spare_slots)

        async def work() -> dict[str, Feed]:
            results = await model.run_here(request, context)
            if self._unchecked and self.device != 'wasm':
                await self._check(await brought(results), once)
            self._unchecked = False
            return results

        while self._trying is not None:
            await self._trying.result()
        self._running = self._running + 1
        try:
            results = await self.attempt(work)
        finally:
            self._running = self._running - 1
            ended = self._ended
            self._ended = new_deferred()
            ended.resolve(None)
        if self._due is not None:

            async def measured(executable: GeneratingExecutable) -> float:
                return await quickest(lambda: once(executable))

            await self._try_out(model, measured)
        return results

    async def open_session(self, model: Model, generation: Generation, inputs: dict[str, Feed]) -> GenerationSession:
        """A session of the model, on the device that generates the fastest if that is asked for."""

        async def measured(executable: GeneratingExecutable) -> float:
            return await session_time(executable, inputs)

        async def work() -> GenerationSession:
            await self._try_out(model, measured)
            return await generation.open(inputs)

        return await self.attempt(work)

    async def _check(self, results: dict[str, Feed], once: Callable[[GeneratingExecutable], Awaitable[dict[str, Feed]]]) -> None:
        """'wrong-results' unless these are what WASM gives."""
        opened = await self._open_on(new_abort_controller().signal, 'wasm')
        try:
            expected = await once(opened.executable)
        finally:
            opened.executable.dispose()
        for name in expected:
            apart = difference(results[name], expected[name])
            if apart is not None:
                raise EdgeflowError('wrong-results', f"output '{name}' on '{self.device}' is not what it is on WASM: {apart}", {'name': name, 'device': self.device})

    async def _try_out(self, model: Model, measured: Callable[[GeneratingExecutable], Awaitable[float]]) -> None:
        """Find the fastest device and stay there; who comes meanwhile waits. Devices that fail are left out from then on."""
        due = self._due
        if self._trying is not None:
            await self._trying.result()
        elif due is not None:
            self._due = None
            trying = new_deferred()
            self._trying = trying
            try:
                # The device that they are on may be left.
                while self._running > 0:
                    await self._ended.result()
                if await self._measure_all(model, measured):
                    await due.remember([self.device, *self._rest], self._devices)
            finally:
                self._trying = None
                trying.resolve(None)

    async def _measure_all(self, model: Model, measured: Callable[[GeneratingExecutable], Awaitable[float]]) -> bool:
        """Whether every device was there to be tried: not if the caller's bytes are gone, of which the model would be loaded there."""
        times: dict[str, float] = {}
        whole = True

        async def measure_current() -> None:
            times[self.device] = await measured(await model.ready())

        await self.attempt(measure_current)
        for device in list(self._rest):
            made: GeneratingExecutable | None = None
            try:
                opened = await self._open_on(new_abort_controller().signal, device)
                made = opened.executable
                times[device] = await measured(made)
            except Exception as error:
                if made is not None:
                    made.dispose()
                if not is_fault(error):
                    raise
                self._rest.remove(device)
                self._tell(device, error)
                # A worker that is really lost has a reason.
                whole = whole and not (isinstance(error, EdgeflowError) and error.code == 'worker-lost' and 'reason' not in error.details)
                continue
            if times[device] < times[self.device]:
                model.adopt(made, device)
                self._rest = [self.device, *[other for other in self._rest if other != device]]
                self.device = device
            else:
                made.dispose()
        self._rest = sorted(self._rest, key=lambda device: times[device])
        return whole


async def open_chain(devices: list[str], place: Place, name: str, open_on: Open) -> Chain:
    """The chain of a model whose files are at `place`. devices: candidates() for place.device."""
    if place.device not in ['auto', 'fastest'] or len(devices) == 1:
        return Chain(name, devices, open_on, place.self_check)
    asked = await gather([place.work(), machine()])
    here = cast(Machine, asked[1])
    trial = Trial(name, place.size, here)
    known = await trial.recall(devices)
    if known is not None:
        return Chain(name, known, open_on, place.self_check, None, trial)
    ordered = by_cost(devices, asked[0], here)
    if place.device == 'fastest':
        return Chain(name, ordered, open_on, place.self_check, trial)
    return Chain(name, [device for device in ordered if device != UNKNOWN], open_on, place.self_check)


async def brought(feeds: dict[str, Feed]) -> dict[str, Feed]:
    """The feeds with their numbers here, also those that lie on a GPU."""
    found: dict[str, Feed] = {}
    for name in feeds:
        held = feeds[name].held
        found[name] = feeds[name] if held is None else await held.fetch()
    return found


def is_fault(error: Exception) -> bool:
    """Whether the device is to blame, so that another may do better. An int64 that the GPU has no room for is such a case."""
    if not isinstance(error, EdgeflowError):
        return True
    return error.code in FAULTS or (error.code == 'run-failed' and 'bits' in error.details)


async def quickest(work: Callable[[], Awaitable[object]]) -> float:
    """ms of the quickest of some runs, after one that may have to plan and compile."""
    await work()
    least = math.inf
    began = now()
    runs = 0
    while runs < 2 or (runs < MOST_RUNS and now() - began < TRIAL_MS):
        start = now()
        await work()
        least = min(least, now() - start)
        runs = runs + 1
    return least


async def session_time(executable: GeneratingExecutable, inputs: dict[str, Feed]) -> float:
    """ms for a prompt of PROMPT tokens and ANSWER single ones."""
    decoder = await executable.decoder()
    session = await decoder.open(inputs)
    try:
        prompt = await quickest(lambda: decoder.advance([Feeding(session, list(range(PROMPT)), 0, True)]))
        step = await quickest(lambda: decoder.advance([Feeding(session, [1], PROMPT)]))
    finally:
        decoder.close(session)
    return prompt + ANSWER * step


def difference(got: Feed, expected: Feed) -> str | None:
    """How a result differs by more than arithmetic of other order does; None if it does not. Only numbers with fractions are compared."""
    if got.shape != expected.shape:
        return f'expected shape {expected.shape}, got {got.shape}'
    if expected.dtype not in ['float32', 'float64']:
        return None
    ours: list[float] = array_list(got.data)
    theirs: list[float] = array_list(expected.data)
    largest = 0.0
    apart = 0.0
    squares = 0.0
    for i in range(len(theirs)):
        if math.isfinite(theirs[i]) != math.isfinite(ours[i]):
            return f'expected {theirs[i]}, got {ours[i]} at {i}'
        if math.isfinite(theirs[i]):
            largest = max(largest, abs(theirs[i]))
            apart = max(apart, abs(ours[i] - theirs[i]))
            squares = squares + (ours[i] - theirs[i]) ** 2
    if apart <= MOST_APART * largest and squares <= (MEAN_APART * largest) ** 2 * len(theirs):
        return None
    return f'numbers up to {largest:.4g} differ by up to {apart:.4g}'
