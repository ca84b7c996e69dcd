"""What the scheduler runs of a model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from edgeflow.backends.contract import Feed
from edgeflow.runtime.ahead import Ahead
from edgeflow.runtime.scheduler_task import RunContext


@dataclass(frozen=True)
class RunRequest:
    """One run of a model, or several that were merged.

    work: does it. pauses: whether it lets go of its thread now and then. give: the memory of the feeds is given up.
    keeps: outputs that a GPU has made stay there. sent: the run, if it was sent to its worker before its turn.
    """

    work: Callable[[RunRequest, RunContext], Awaitable[dict[str, Feed]]]
    feeds: dict[str, Feed]
    outputs: list[str]
    pauses: bool
    give: bool
    keeps: bool
    sent: list[Ahead] = field(default_factory=list)
