"""What a transfer is asked for and by whom, its connections, and the small rules that it goes by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgeflow.env import env
from edgeflow.host.platform import join_bytes
from edgeflow.host.port import Bytes, Draft

if TYPE_CHECKING:
    from edgeflow.store.transfer import Transfer


@dataclass(frozen=True)
class Limits:
    """chunk_size: bytes that are stored at a time. connections: the most there are at once. retries: failures in a row that are
    forgiven once there was an answer, a third of them before. stall_timeout: ms without a byte after which a connection is given
    up. backoff: ms before the first new attempt. watch, worth: connections are added once the first was watched for so many ms, if
    what is missing needs so many ms more. small: chunks of fewer bytes are handed on first, and a copy stored."""

    chunk_size: int = 4194304
    connections: int = 4
    retries: int = 6
    stall_timeout: float = 30000.0
    backoff: float = 300.0
    watch: float = 120.0
    worth: float = 400.0
    small: int = 524288


@dataclass(frozen=True)
class Source:
    """What to fetch. ranged: ask for parts. sha256: '' if unknown. fresh: 'reuse' what is stored, 'check' with the server whether
    it is still so, or fetch 'anew'."""

    url: str
    ranged: bool = True
    sha256: str = ''
    size: int | None = None
    fresh: str = 'reuse'
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Piece:
    """A chunk that has come: its bytes, or the draft that the store has of it, or both."""

    size: int
    data: Bytes | None
    draft: Draft | None = None


class Client:
    """Who waits for a file. on_chunk(start, bytes): takes the bytes, and may move their memory; None: it need only be stored.

    on_reset: what it was given was of another version; all of it comes again. room: waits until it has taken in what it was given.
    on_place(start, size, place): reads stored bytes itself from where they are; whether it could.
    """

    def __init__(
        self, on_chunk: Callable[[int, Bytes], None] | None, on_progress: Callable[[Transfer], None], on_reset: Callable[[], None],
        room: Callable[[], Awaitable[None]] | None = None, on_place: Callable[[int, int, object], Awaitable[bool]] | None = None,
    ) -> None:
        self.on_chunk: Callable[[int, Bytes], None] | None = on_chunk
        self.on_progress: Callable[[Transfer], None] = on_progress
        self.on_reset: Callable[[], None] = on_reset
        self.room: Callable[[], Awaitable[None]] | None = room
        self.on_place: Callable[[int, int, object], Awaitable[bool]] | None = on_place
        self.generation: str = ''
        self.received: set[int] = set()


class Lane:
    """A connection: it works on the chunks from `next` to before `end`. partial: bytes that it has of the first of them."""

    def __init__(self) -> None:
        self.next: int = 0
        self.end: int = 0
        self.partial: int = 0
        self.heard: float = 0.0
        self.listening: bool = False
        self.stalled: bool = False
        self.leaving: bool = False


def source_headers(url: str) -> dict[str, str]:
    """Headers of a request for a file: the hub, and nobody else, hears env.access_token."""
    headers: dict[str, str] = {}
    host = env.remote_host if env.remote_host.endswith('/') else env.remote_host + '/'
    if env.access_token is not None and url.startswith(host):
        headers['Authorization'] = 'Bearer ' + env.access_token
    return headers


def copied(data: Bytes) -> Bytes:
    """The same bytes in memory of their own."""
    from_start = data[0:len(data)]
    return join_bytes([from_start])


def freshness() -> str:
    """What env.http_cache means for files that are stored."""
    mode = env.http_cache
    return 'anew' if mode == 'no-store' or mode == 'reload' else 'check' if mode == 'no-cache' else 'reuse'


def is_cut_off(received: int, announced: int) -> bool:
    """Whether a body of `received` bytes is shorter than any compression overhead explains.

    Platforms check the length of a body themselves, but not all do. A compressed body whose Content-Encoding CORS hides
    may decode to fewer bytes than announced: deflate grows data by at most 5 bytes in 16 KB and a header (RFC 1951).
    """
    return announced - received > announced // 1000 + 64
