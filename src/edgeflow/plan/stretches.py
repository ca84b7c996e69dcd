"""Stretches of a plan whose work several machines can share."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeflow.plan.lifetimes import Lifetime, hold
from edgeflow.plan.values import NodeSteps, Pointer, Step, Value


@dataclass(frozen=True)
class Share:
    """One part of a stretch: steps `first` to `last` (excluded) of the tape, which read nothing that other shares write.

    inputs: the values that come from outside. partial: the value that it gives.
    """

    first: int
    last: int
    steps: list[Step]
    inputs: list[Value]
    partial: Value


@dataclass(frozen=True)
class SharePlan:
    """A share as its helper runs it: the words of its tape, where its inputs go, where the partial sum is."""

    share: Share
    arena: int
    words: list[int]
    input_addresses: list[int]
    partial_address: int


@dataclass(frozen=True)
class Stretch:
    """Steps `first` to `last` (excluded) of the plan, which are these steps of the tape where they are shared: from `start` on the first
    share, which is the leader's, then the others, then, up to `end` (excluded), what joins them. Both ways give the same, to the bit.

    shares: the others.
    """

    first: int
    last: int
    start: int
    shares: list[Share]
    end: int


@dataclass(frozen=True)
class Shared:
    """The groups of a plan, and the stretches among them, in order. inputs, outputs: where those of the plan lie, if not where they were.

    divided: the groups of the stretches as they are shared; on the tape they follow the others.
    """

    groups: list[NodeSteps]
    stretches: list[Stretch]
    inputs: list[Value] | None = None
    outputs: list[Value] | None = None
    divided: list[NodeSteps] = field(default_factory=list)


def hold_stretches(lives: dict[int, Lifetime], shared: Shared) -> None:
    """Shares run at the same time: no value of a stretch may lie where another one lies."""
    steps: list[Step] = []
    for group in shared.groups + shared.divided:
        steps.extend(group.steps)
    for stretch in shared.stretches:
        for step in steps[stretch.first:stretch.last] + steps[stretch.start:stretch.end]:
            for word in step.words:
                if isinstance(word, Pointer):
                    hold(lives, word.value, stretch.first, stretch.last - 1)
