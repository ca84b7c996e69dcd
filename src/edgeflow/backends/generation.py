"""What a backend offers for generating text: sessions, each with the keys and values of its tokens in the backend's memory.

A session is a number. Its tokens are fed with advance(), which appends them to the cache and gives the next token, chosen by the
session's chooser where the logits are: they never leave the backend's thread. Duties of a Decoder:

- **Cache.** Written in place, grown in blocks, freed by rewind() and close(). A step neither copies it nor plans anew.
- **Forks.** What a forked session shares with the first is not computed again, and stays shared until one of them writes to it.
- **Batches.** Sessions that are each fed one token in one advance() share a run, whatever their lengths.
- **Cancelling.** An advance() that ends in an error leaves the sessions as they were before; the caller may feed the same again.
- **Other models.** A model whose cache cannot be kept in place runs all the same, by its own past and present tensors.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from edgeflow.backends.contract import Executable, Feed, MemoryUse, RunControl
from edgeflow.host.port import NumericArray


@dataclass(frozen=True)
class NextToken:
    """The next token of a text. logprob, top: where the chooser was asked for them; top has the likeliest tokens, best first."""

    token_id: int
    logprob: float | None = None
    top: list[NextToken] = field(default_factory=list)


@dataclass(frozen=True)
class Draw:
    """How a token is drawn from its logits, by whoever can; as generation_options() has it. unit: a random number of [0, 1).

    repetition, presence, frequency: penalties of tokens: those of `seen`, and those made, with how often, of `counts`. later: so many that come before it
    are not among them yet.
    """

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    unit: float
    repetition: float = 1.0
    presence: float = 0.0
    frequency: float = 0.0
    seen: set[int] = field(default_factory=set)
    counts: dict[int, int] = field(default_factory=dict)
    later: int = 0


class Chooser(Protocol):
    """Chooses the tokens of one text."""

    def choose(self, logits: NumericArray) -> NextToken:
        """The next token for these float32 logits, one for each token of the vocabulary."""

    def draw(self, later: int) -> Draw | None:
        """How the next token may be drawn elsewhere, or the one `later` tokens behind it; None: choose() has to see its logits."""

    def drawn(self, token: int) -> NextToken:
        """The next token, which was drawn so; -1: no logit was finite."""


# Makes a chooser of the plain values that describe it; one, since a page and its workers are the same program.
_makers: list[Callable[[object], Awaitable[Chooser]]] = []


def use_choosers(make: Callable[[object], Awaitable[Chooser]]) -> None:
    """Say what makes choosers: called once. It may have to be fetched when the first one is wanted."""
    _makers.append(make)


async def chooser_of(choosing: object) -> Chooser | None:
    """The chooser that these plain values describe; None for None: the likeliest token, found where the logits are."""
    return None if choosing is None else await _makers[0](choosing)


@dataclass(frozen=True)
class Feeding:
    """Tokens that a session has not seen yet, at least one.

    at: how many tokens the session has before; what it has beyond, since the caller no longer wanted to know, is forgotten.
    begins: from here on another text is written, so tokens are chosen by what chooser_of() makes of `choosing`: plain values, which
    may travel to a worker.
    """

    session: int
    ids: list[int]
    at: int
    begins: bool = False
    choosing: object = None


class Decoder(Protocol):
    """The sessions of one executable."""

    async def open(self, inputs: dict[str, Feed]) -> int:
        """Begin a session without tokens. inputs: what else the model takes (an encoder's states and mask), checked."""

    async def advance(self, feedings: list[Feeding], control: RunControl | None = None) -> list[NextToken]:
        """Append the tokens of each session and choose its next one, which the caller feeds with the next advance().

        EdgeflowErrors: those of Executable.run(), and 'invalid-argument' for an unknown session or no tokens.
        """

    async def fork(self, session: int, length: int) -> int:
        """Begin a session with the first `length` tokens and the chooser of this one. Both share the memory of what they have in common."""

    def rewind(self, session: int, length: int) -> None:
        """Forget the session's tokens from the `length`-th on."""

    def close(self, session: int) -> None:
        """Free what the session holds. Called once."""

    def cache_memory(self) -> MemoryUse:
        """The memory of the whole executable, in `arena` only that of the caches."""


class GeneratingExecutable(Executable, Protocol):
    """An executable that can generate text if its model is a decoder."""

    async def decoder(self) -> Decoder:
        """Its sessions, if the model has an input 'input_ids' and an output 'logits'; always the same object."""
