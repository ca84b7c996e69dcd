"""An HTTP server on a real socket that serves files with faults on purpose, one a request, as a schedule says.

A schedule is a list of [kind, number]; every request of the file takes the next entry, and there are none after its end.
`number` is 0..999, the place in the body in thousandths where that matters.
"""

from __future__ import annotations

import email.utils
import gzip
import hashlib
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from toolchain.serve import byte_range

PASSING = ['cut', 'reset', 'stall', 'short', 'long', 'ignore-range', 'status', 'drip', 'wrong-range', 'gzip', 'redirect', 'refuse']
KINDS = [*PASSING, 'corrupt', 'change']
STATUSES = [429, 500, 502, 503, 504, 403]
STALL_SECONDS = 3.0


@dataclass
class ServedFile:
    """A file with its schedule. versions: what it was and is; validators: 'etag', 'modified', 'weak' or 'none'.

    exposed: whether CORS lets other origins see the headers. rate: bytes a second for each connection, None: no limit.
    """

    data: bytes
    schedule: list[list] = field(default_factory=list)
    validators: str = 'etag'
    ranges: bool = True
    exposed: bool = True
    encoded: bool = False
    rate: float | None = None
    versions: list[bytes] = field(default_factory=list)
    requests: list[tuple[str | None, int]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0
    most_connections: int = 0
    sent: int = 0
    extra: dict[str, str] = field(default_factory=dict)
    hashed: tuple[bytes, str] = (b'', '')

    def __post_init__(self) -> None:
        self.versions.append(self.data)

    def change(self) -> None:
        """Another version of the same size stands at the address from now on."""
        self.data = random.Random(len(self.versions)).randbytes(len(self.data))
        self.versions.append(self.data)

    def validator_headers(self) -> dict[str, str]:
        if self.hashed[0] is not self.data:
            self.hashed = self.data, hashlib.sha256(self.data).hexdigest()[:16]
        digest = self.hashed[1]
        if self.validators == 'etag':
            return {'ETag': f'"{digest}"'}
        if self.validators == 'weak':
            return {'ETag': f'W/"{digest}"'}
        if self.validators == 'modified':
            return {'Last-Modified': email.utils.formatdate(1_700_000_000 + len(self.versions), usegmt=True)}
        return {}


class Handler(BaseHTTPRequestHandler):
    """Answers GET and the CORS preflight."""

    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    server: FaultServer

    def log_message(self, *args: object) -> None:
        pass

    def do_OPTIONS(self) -> None:
        self._head(204, {'Access-Control-Allow-Headers': '*, authorization', 'Content-Length': '0'}, None)

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in self.server.redirects:
            self.server.seen.append((path, dict(self.headers)))
            self._head(302, {'Location': self.server.redirects[path], 'Content-Length': '0'}, None)
            return
        file = self.server.files.get(path.removeprefix('/moved'))
        self.server.seen.append((path, dict(self.headers)))
        if file is None:
            self._head(404, {'Content-Length': '0'}, None)
            return
        with self.server.lock:
            kind, number = file.schedule.pop(0) if file.schedule and not path.startswith('/moved') else ['none', 0]
            file.connections += 1
            file.most_connections = max(file.most_connections, file.connections)
        try:
            self._serve(file, path, kind, number)
        finally:
            with self.server.lock:
                file.connections -= 1

    def _head(self, status: int, headers: dict[str, str], file: ServedFile | None) -> None:
        self.send_response(status)
        self.send_header('Access-Control-Allow-Origin', '*')
        if file is None or file.exposed:
            self.send_header('Access-Control-Expose-Headers', '*')
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _serve(self, file: ServedFile, path: str, kind: str, number: int) -> None:
        asked = self.headers.get('Range')
        if kind == 'change':
            file.change()
        if kind == 'redirect':
            self._head(302, {'Location': '/moved' + path, 'Content-Length': '0'}, file)
            return
        if kind == 'status':
            status = STATUSES[number % len(STATUSES)]
            file.requests.append((asked, status))
            self._head(status, {'Content-Length': '2', **({'Retry-After': '0'} if status == 429 else {})}, file)
            self.wfile.write(b'no')
            return
        if kind == 'refuse':
            file.requests.append((asked, 416))
            self._head(416, {'Content-Length': '0'}, file)
            return
        data = file.data
        headers = file.validator_headers()
        if_range = self.headers.get('If-Range')
        if if_range is not None and if_range not in headers.values():
            asked = None
        if kind in ('ignore-range', 'gzip') or not file.ranges or file.encoded:
            asked = None
        try:
            part = byte_range(asked, len(data))
        except ValueError:
            file.requests.append((asked, 416))
            self._head(416, {'Content-Range': f'bytes */{len(data)}', 'Content-Length': '0'}, file)
            return
        start, end = part or (0, len(data))
        body = memoryview(data)[start:end]
        file.requests.append((asked, 206 if part else 200))
        file.headers.append(dict(self.headers))
        if kind == 'wrong-range' and part:
            start, end, body = (start + 1, end, body[1:]) if len(body) > 1 else (start, end, body)
        if part:
            headers['Content-Range'] = f'bytes {start}-{end - 1}/{len(data)}'
        if kind == 'gzip' or file.encoded:
            body = gzip.compress(body, 1)
            headers['Content-Encoding'] = 'gzip'
        if kind == 'corrupt' and body:
            at = number * len(body) // 1000
            body = bytes(body[:at]) + bytes([body[at] ^ 255]) + bytes(body[at + 1:])
        length = len(body)
        if kind == 'short':
            length = max(0, length - 1 - number)
        elif kind == 'long':
            length += 1 + number
        self._head(206 if part else 200, {'Content-Length': str(length), **headers, **file.extra}, file)
        self._body(file, body[:length], kind, number)

    def _body(self, file: ServedFile, body: bytes | memoryview, kind: str, number: int) -> None:
        stop = number * len(body) // 1000 if kind in ('cut', 'reset', 'stall') else len(body)
        try:
            if file.rate is not None:
                self._slowly(file, body[:stop])
            elif kind == 'drip':
                for at in range(0, stop, max(1, stop // 4)):
                    self.wfile.write(body[at:at + max(1, stop // 4)])
                    self.wfile.flush()
                    time.sleep(0.002)
            else:
                self.wfile.write(body[:stop])
                self.wfile.flush()
                file.sent += stop
        except OSError:
            self.close_connection = True
            return
        if kind == 'stall':
            self.connection.settimeout(STALL_SECONDS)
            try:
                self.connection.recv(1)
            except OSError:
                pass
        if kind == 'reset':
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        if kind in ('cut', 'reset', 'stall', 'long'):
            self.close_connection = True
            if kind != 'reset':
                self.connection.shutdown(socket.SHUT_RDWR)
            self.connection.close()

    def _slowly(self, file: ServedFile, body: bytes | memoryview) -> None:
        began, step = time.monotonic(), max(8192, int(file.rate / 100))
        for at in range(0, len(body), step):
            part = body[at:at + step]
            self.wfile.write(part)
            file.sent += len(part)
            ahead = began + (at + len(part)) / file.rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)


class FaultServer(ThreadingHTTPServer):
    """files: by path. redirects: path -> address. seen: every request with its headers."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), Handler)
        self.files: dict[str, ServedFile] = {}
        self.redirects: dict[str, str] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.lock = threading.Lock()
        self.origin = f'http://127.0.0.1:{self.server_port}'
        self._numbers = 0

    def add(self, file: ServedFile, path: str | None = None) -> str:
        """Serve a file; its address."""
        self._numbers += 1
        name = path or f'/file-{self._numbers}.bin'
        self.files[name] = file
        return self.origin + name

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients of these tests hang up on purpose."""


@contextmanager
def fault_server() -> Iterator[FaultServer]:
    """A running server; it is gone afterwards."""
    server = FaultServer()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
