"""Fetching whole files, from the network or from disk."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.env import HTTP_CACHE_MODES, env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import (
    fetch, gather, is_url, join_bytes, new_abort_controller, on_abort, read_file, reads_files,
    signal_aborted,
)
from edgeflow.host.port import AbortSignal, Bytes, Response
from edgeflow.options import check_choice
from edgeflow.store.progress import Progress

MAX_DIGITS = 15


async def load_file(address: str, name: str, progress: Progress, signal: AbortSignal | None) -> Bytes:
    """The bytes of one file. `name` is what progress events call it.

    EdgeflowError: 'file-missing' if there is none, 'http' for other bad answers, broken connections and bodies that
    are cut off, 'aborted'.
    """
    data = await find_file(address, name, progress, signal)
    if data is None:
        raise EdgeflowError(
            'file-missing', f"expected the file '{name}' at {address}; there is none", {'url': address, 'file': name},
        )
    return data


async def find_file(address: str, name: str, progress: Progress, signal: AbortSignal | None) -> Bytes | None:
    """As load_file, but None for a file that is not there."""
    _check_signal(signal, name)
    progress.initiate(name)
    if reads_files() and not is_url(address):
        data = await read_file(address)
        _check_signal(signal, name)
        if data is not None:
            progress.download(name, len(data))
            progress.advance(name, len(data))
    else:
        data = await _download(address, name, progress, signal)
    progress.done(name)
    return data


@dataclass(frozen=True)
class Wanted:
    """A file to load: where it is, what progress events call it, and whether it may be absent."""

    address: str
    name: str
    optional: bool = False


async def load_files(files: list[Wanted], progress: Progress, signal: AbortSignal | None) -> list[Bytes | None]:
    """Several files at once, in the order asked for; None for optional ones that are absent.

    If one fails, the others are cancelled and its error is raised when all transfers have ended.
    """
    controller = new_abort_controller()
    stop_listening = on_abort(signal, lambda: controller.abort())
    failures: list[Exception] = []

    async def load(file: Wanted) -> Bytes | None:
        try:
            if file.optional:
                return await find_file(file.address, file.name, progress, controller.signal)
            return await load_file(file.address, file.name, progress, controller.signal)
        except Exception as error:
            failures.append(error)
            controller.abort()
            return None

    for file in files:
        progress.initiate(file.name)
    try:
        loaded = await gather([load(file) for file in files])
    finally:
        stop_listening()
    if len(failures) > 0:
        raise failures[0]
    return loaded


def _check_signal(signal: AbortSignal | None, name: str) -> None:
    if signal_aborted(signal):
        raise EdgeflowError('aborted', f"loading '{name}' was cancelled through its signal", {'file': name})


async def _download(address: str, name: str, progress: Progress, signal: AbortSignal | None) -> Bytes | None:
    check_choice(env.http_cache, HTTP_CACHE_MODES, 'env.http_cache')
    response = await fetch(address, {}, signal, env.http_cache)
    try:
        if response.status == 404 or response.status == 410:
            return None
        if response.status < 200 or response.status > 299:
            raise EdgeflowError(
                'http', f'{address}: expected status 200, got {response.status}{_hint(response.status)}',
                {'url': address, 'status': response.status},
            )
        length = body_length(response.header('content-length'), response.header('content-encoding'))
        progress.download(name, length)
        data = await _receive(response, length, name, progress)
    finally:
        await response.cancel()
    if length is not None and is_cut_off(len(data), length):
        raise EdgeflowError(
            'http', f'{address}: expected {length} bytes, got {len(data)}: the body is cut off',
            {'url': address, 'expected': length, 'got': len(data)},
        )
    return data


def _hint(status: int) -> str:
    if status == 401 or status == 403:
        return ' (a model that is private or gated, or whose name is wrong)'
    return ''


async def _receive(response: Response, length: int | None, name: str, progress: Progress) -> Bytes:
    """The body, in place if its size is announced, gathered in parts if not."""
    if length is not None:
        return await response.sized_body(length, lambda size: progress.advance(name, size))
    parts: list[Bytes] = []
    async for part in response.chunks():
        parts.append(part)
        progress.advance(name, len(part))
    return join_bytes(parts)


def body_length(content_length: str | None, content_encoding: str | None) -> int | None:
    """How many bytes the decoded body has, by its headers; None if they do not say (Content-Length counts encoded bytes).

    Across origins CORS may hide Content-Encoding, so the answer can still be the encoded size.
    """
    if content_encoding is not None and content_encoding.strip().lower() not in ['', 'identity']:
        return None
    if content_length is None:
        return None
    digits = content_length.strip()
    if not digits.isdigit() or len(digits) > MAX_DIGITS:
        return None
    return int(digits)


def is_cut_off(received: int, announced: int) -> bool:
    """Whether a body of `received` bytes is shorter than any compression overhead explains.

    Platforms check the length of a body themselves, but not all do. A compressed body whose Content-Encoding CORS hides
    may decode to fewer bytes than announced: deflate grows data by at most 5 bytes in 16 KB and a header (RFC 1951).
    """
    return announced - received > announced // 1000 + 64
