"""Stretches of a plan whose work several machines can share."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.plan.lifetimes import Lifetime
from edgeflow.plan.values import NodeSteps, Pointer, Step, Value


@dataclass(frozen=True)
class Share:
    """One part of a stretch: steps `first` to `last` (excluded) of the plan, which read nothing that other shares write.

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
    """Steps `first` to `last` (excluded) of the plan: the first share, which is the leader's, then the others, then what joins them.

    shares: the others.
    """

    first: int
    last: int
    shares: list[Share]


@dataclass(frozen=True)
class Shared:
    """The groups of a plan, and the stretches among them, in order. inputs, outputs: where those of the plan lie, if not where they were."""

    groups: list[NodeSteps]
    stretches: list[Stretch]
    inputs: list[Value] | None = None
    outputs: list[Value] | None = None


def hold_stretches(lives: dict[int, Lifetime], shared: Shared) -> None:
    """Shares run at the same time: no value of a stretch may lie where another one lies."""
    steps: list[Step] = []
    for group in shared.groups:
        steps.extend(group.steps)
    for stretch in shared.stretches:
        for step in steps[stretch.first:stretch.last]:
            for word in step.words:
                if isinstance(word, Pointer):
                    life = lives.get(word.value.root().number)
                    if life is not None:
                        life.first = min(life.first, stretch.first)
                        life.last = max(life.last, stretch.last - 1)
