"""What a backend offers for generating text: sessions, each with the keys and values of its tokens in the backend's memory.

A session is a number. Its tokens are fed with advance(), which appends them to the cache and gives the next token, chosen by the
session's chooser where the logits are: they never leave the backend. Duties of a Decoder:

- **Cache.** Written in place, grown in blocks, freed by rewind() and close(). A step neither copies it nor plans anew.
- **Batches.** Sessions that are each fed one token in one advance() share a run, whatever their lengths.
- **Cancelling.** An advance() that ends in an error leaves the sessions as they were before; the caller may feed the same again.
- **Other models.** A model whose cache cannot be kept in place runs all the same, by its own past and present tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edgeflow.backends.contract import Feed, MemoryUse, RunControl
from edgeflow.host.port import NumericArray


class Chosen(Protocol):
    """The next token of a session. logprob: None where it is not asked for."""

    token_id: int
    logprob: float | None


class Chooser(Protocol):
    """Chooses the tokens of one session."""

    def choose(self, logits: NumericArray) -> Chosen:
        """The next token for these float32 logits, one for each token of the vocabulary."""


@dataclass(frozen=True)
class Greedy:
    """The likeliest token. A session without a chooser gets these."""

    token_id: int
    logprob: float | None = None


@dataclass(frozen=True)
class Feeding:
    """Tokens that a session has not seen yet, at least one."""

    session: int
    ids: list[int]


class Decoder(Protocol):
    """The sessions of one executable."""

    def open(self, inputs: dict[str, Feed], chooser: Chooser | None = None) -> int:
        """Begin a session without tokens. inputs: what else the model takes (an encoder's states and mask).

        EdgeflowError 'unsupported-op' if the model is no decoder.
        """

    async def advance(self, feedings: list[Feeding], control: RunControl | None = None) -> list[Chosen]:
        """Append the tokens of each session and choose its next one, which the caller feeds with the next advance().

        EdgeflowErrors: those of Executable.run(), and 'invalid-argument' for an unknown session or no tokens.
        """

    def rewind(self, session: int, length: int) -> None:
        """Forget the session's tokens from the `length`-th on."""

    def length(self, session: int) -> int:
        """Tokens in the session's cache."""

    def close(self, session: int) -> None:
        """Free what the session holds; doing it twice is no error."""

    def cache_memory(self) -> MemoryUse:
        """The memory of the whole executable, in `arena` only that of the caches."""
