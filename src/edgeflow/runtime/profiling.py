"""How long the kernels of a run take: of a model, of a step of a session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edgeflow.backends.contract import Feed, KernelTime
from edgeflow.backends.generation import Decoder, Feeding, GeneratingExecutable
from edgeflow.runtime.exchange import bring_feeds
from edgeflow.runtime.page import page_scheduler
from edgeflow.runtime.scheduler_task import RunContext


async def profile_run(
    model_id: str, ready: Callable[[RunContext], Awaitable[GeneratingExecutable]], feeds: dict[str, Feed], outputs: list[str],
) -> list[KernelTime]:
    """Model.profile(), as a task."""
    async def work(context: RunContext) -> None:
        executable = await ready(context)
        await bring_feeds(feeds, executable.place)
        await executable.run(feeds, outputs, context)

    return await _timed(model_id, work)


async def profile_step(model_id: str, living: Callable[[], Awaitable[None]], decoder: Decoder, feeding: Feeding) -> list[KernelTime]:
    """GenerationSession.profile(), as a task. living: raises what is wrong with the session."""
    async def work(context: RunContext) -> None:
        await living()
        await decoder.advance([feeding], context)
        decoder.rewind(feeding.session, feeding.at)

    return await _timed(model_id, work)


async def _timed(model_id: str, work: Callable[[RunContext], Awaitable[None]]) -> list[KernelTime]:
    times: list[KernelTime] = []

    async def timed(context: RunContext) -> object:
        context.times = times
        await work(context)
        return None

    await page_scheduler().schedule(model_id, timed).result()
    return times
