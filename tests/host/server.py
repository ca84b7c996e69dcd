"""A real HTTP server on a free port of this machine that answers well and badly on purpose."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BODY = bytes(range(256)) * 2000
TEXT = b'{"hidden_size": 384}' * 500


class Handler(BaseHTTPRequestHandler):
    """Answers by path; see do_GET."""

    protocol_version = 'HTTP/1.1'
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header('Access-Control-Allow-Origin', '*')
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Each path is one behaviour; anything else is a file of server.root, or 404."""
        path = self.path.split('?')[0]
        self.server.requests.append(self.path)
        if path == '/plain':
            self._answer(200, BODY, {'Content-Length': str(len(BODY))})
        elif path == '/gzip':
            packed = gzip.compress(TEXT)
            self._answer(200, packed, {'Content-Length': str(len(packed)), 'Content-Encoding': 'gzip'})
        elif path == '/chunked':
            self._chunks(ends=True)
        elif path == '/chunked-cut':
            self._chunks(ends=False)
        elif path == '/no-length':
            self.close_connection = True
            self._answer(200, BODY, {'Connection': 'close'})
        elif path == '/cut':
            self.close_connection = True
            self._answer(200, BODY[:100_000], {'Content-Length': str(len(BODY))})
        elif path == '/reset':
            self.close_connection = True
            self.connection.close()
        elif path == '/redirect':
            self._answer(302, b'', {'Location': '/plain', 'Content-Length': '0'})
        elif path == '/loop':
            self._answer(302, b'', {'Location': '/loop', 'Content-Length': '0'})
        elif path == '/slow':
            self._answer(200, BODY[:1000], {'Content-Length': str(len(BODY))})
            self.wfile.flush()
            self.server.released.wait(20)
            self.close_connection = True
        elif path == '/silent':
            self.server.released.wait(20)
            self.close_connection = True
        elif path.startswith('/status/'):
            self._answer(int(path.split('/')[2]), b'no', {'Content-Length': '2'})
        elif path == '/empty':
            self._answer(200, b'', {'Content-Length': '0'})
        elif path == '/huge':
            self.close_connection = True
            self._answer(200, b'x', {'Content-Length': '99999999999999'})
        elif path == '/echo':
            body = (self.headers.get('X-Test') or '').encode()
            self._answer(200, body, {'Content-Length': str(len(body))})
        else:
            self._file(path)

    def _chunks(self, ends: bool) -> None:
        self.send_response(200)
        self.send_header('Access-Control-Allow-Origin', '*')
        self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        for start in range(0, len(BODY), 50_000):
            part = BODY[start:start + 50_000]
            self.wfile.write(f'{len(part):x}\r\n'.encode() + part + b'\r\n')
        if ends:
            self.wfile.write(b'0\r\n\r\n')
        else:
            self.close_connection = True

    def _file(self, path: str) -> None:
        root = self.server.root
        file = root / path.lstrip('/') if root is not None else None
        if file is not None and file.is_file():
            self._answer(200, file.read_bytes(), {'Content-Length': str(file.stat().st_size)})
        else:
            self._answer(404, b'no such file', {'Content-Length': '12'})


class Server(ThreadingHTTPServer):
    """requests: the paths asked for. released: set to let /slow and /silent end. root: a folder to serve, if any."""

    daemon_threads = True

    def __init__(self, root: Path | None) -> None:
        super().__init__(('127.0.0.1', 0), Handler)
        self.requests: list[str] = []
        self.released = threading.Event()
        self.root = root
        self.address = f'http://127.0.0.1:{self.server_port}'

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients of these tests hang up on purpose."""


@contextmanager
def serving(root: Path | None = None) -> Iterator[Server]:
    """A running server; it is gone afterwards."""
    server = Server(root)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
