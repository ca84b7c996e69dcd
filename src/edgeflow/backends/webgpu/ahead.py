"""Steps of a session that are submitted before the token that they take is known: it stays on the GPU, where the step before has chosen it.

So the GPU goes on while a token is read back and looked at. What was submitted for a token that then is not wanted is never read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edgeflow.backends.webgpu.executable import check_flags, flag_bytes
from edgeflow.backends.webgpu.machine import GpuMachine
from edgeflow.backends.webgpu.pages import CHOSEN
from edgeflow.backends.webgpu.plan import GPU, GpuPlan, piece_of
from edgeflow.host.platform import new_deferred, read_i32, start_task
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
