"""Steps of a session that are submitted before the token that they take is known: it stays on the GPU, where the step before has chosen it.

So the GPU goes on while a token is read back and looked at. What was submitted for a token that then is not wanted is never read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edgeflow.backends.contract import Feed
from edgeflow.backends.generation import Draw
from edgeflow.backends.webgpu.drawing import draw_feeds
from edgeflow.backends.webgpu.executable import GpuExecutable, check_flags, flag_bytes
from edgeflow.backends.webgpu.machine import GpuMachine
from edgeflow.backends.webgpu.pages import CHOSEN
from edgeflow.backends.webgpu.plan import GPU, GpuPlan, piece_of
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_array, new_deferred, read_i32, start_task
from edgeflow.host.port import Bytes, Deferred, GpuCommand, GpuPiece
from edgeflow.plan.link import WORD

INPUT = 'input_ids'


def step_commands(machine: GpuMachine, plan: GpuPlan, chained: bool) -> list[GpuCommand] | None:
    """The commands of a step, whose token the next one may take; chained: it takes that of the step before. None if its plan is not the GPU's alone."""
    taken = [value for value in plan.crossings.inputs if value.name == INPUT and value.far]
    token = plan.crossings.outputs[0]
    if len(plan.actions) != 1 or plan.actions[0].kind != GPU or len(taken) != 1 or not token.far:
        return None
    chosen = GpuPiece(machine.memory.weights[CHOSEN], 0, WORD)
    before: list[GpuCommand] = []
    if chained:
        before = [GpuCommand(None, None, [], chosen, piece_of(machine, plan, taken[0]))]
    return before + plan.actions[0].commands + [GpuCommand(None, None, [], word_of(piece_of(machine, plan, token)), chosen)]


def word_of(piece: GpuPiece) -> GpuPiece:
    """The first word."""
    return GpuPiece(piece.buffer, piece.offset, WORD)


def submit_step(machine: GpuMachine, plan: GpuPlan, chained: bool) -> SubmittedStep | None:
    """Submit a step, whose only output is its token; chained: it takes the one of the step before. None if its plan is not the GPU's alone."""
    commands = step_commands(machine, plan, chained)
    if commands is None:
        return None
    pieces = [word_of(piece_of(machine, plan, plan.crossings.outputs[0]))]
    if plan.faults is not None:
        flags = piece_of(machine, plan, plan.crossings.outputs[1])
        pieces.append(GpuPiece(flags.buffer, flags.offset, flag_bytes(plan)))
    return SubmittedStep(machine.gpu.device.run(commands, pieces), lambda parts: check_flags(plan, parts))


class SubmittedStep:
    """A step that the GPU works on. check: of what was read with the token."""

    def __init__(self, ending: Awaitable[list[Bytes]], check: Callable[[Bytes], None]) -> None:
        self._parts: Deferred = new_deferred()
        self._check: Callable[[Bytes], None] = check
        start_task(lambda: self._land(ending))

    async def _land(self, ending: Awaitable[list[Bytes]]) -> None:
        try:
            self._parts.resolve(await ending)
        except Exception as error:
            self._parts.reject(error)

    async def token(self) -> int:
        """The token that it chose; its errors are those of a run."""
        parts: list[Bytes] = await self._parts.result()
        if len(parts) > 1:
            self._check(parts[1])
        return read_i32(parts[0], 0)


class StepsAhead:
    """The step that was submitted last and not asked for yet: for what comes after a session's first `length` tokens, if that is `token`."""

    def __init__(self) -> None:
        self._session: object = None
        self._by: object = None
        self._output: str = ''
        self._length: int = 0
        self._token: int = 0
        self._step: SubmittedStep | None = None
        # Whether that session took the last step alone: then it may well take the next.
        self._likely: bool = False

    def held(self, session: object, length: int) -> int:
        """How many places a session keeps that has so many tokens."""
        if self._step is None or self._session is not session:
            return length
        if self._length == length:
            return length + 1
        self._step = None
        return length

    def feed_draws(self, draws: list[Draw], feeds: dict[str, Feed]) -> None:
        """Feed what a run takes whose output DRAWN are tokens drawn so, one for each row."""
        feeds.update(draw_feeds(draws))

    def forget(self) -> None:
        """Another run comes next."""
        self._step = None
        self._likely = False

    async def following(
        self, runner: GpuExecutable, session: object, by: object, output: str, ids: list[int], length: int, lay: Callable[[list[int], int], dict[str, Feed]],
        more: bool,
    ) -> int | None:
        """The token after `length` tokens and one more, `ids`, chosen by the chooser `by`: the `output` of a step. Before it is read, the step is submitted
        that takes it. lay: prepares a step for such a token, and gives its feeds. more: whether the plan serves for another step. None: steps of this
        model cannot be submitted ahead."""
        same = self._session is session and self._by is by and self._output == output
        step: SubmittedStep | None = self._step if same and self._length == length and self._token == ids[0] else None
        likely = step is not None or (same and self._likely)
        self.forget()
        self._session = session
        self._by = by
        self._output = output
        if step is None:
            step = await runner.submit(lay(ids, length), output, False)
        if step is None:
            return None
        self._likely = True
        following: SubmittedStep | None = None
        if likely and more:
            try:
                feeds = lay([0], length + 1)
                given = feeds[INPUT]
                feeds[INPUT] = Feed(given.dtype, given.shape, new_array(given.dtype, 0))
                following = await runner.submit(feeds, output, True)
            except EdgeflowError:
                # Nobody has asked for it yet; whoever does meets the error.
                self._likely = False
        self._token = await step.token()
        self._length = length + 1
        self._step = following
        return self._token
