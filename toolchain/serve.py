"""A small static HTTP server for tests, demo and bench: several folders under one address, one thread a connection.

`python -m toolchain.serve /=examples /dist=dist --port 8000` serves until interrupted.
"""

from __future__ import annotations

import argparse
import email.utils
import mimetypes
import os
import re
import socket
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

MIME_TYPES = {
    '.html': 'text/html; charset=utf-8',
    '.js': 'text/javascript; charset=utf-8',
    '.mjs': 'text/javascript; charset=utf-8',
    '.css': 'text/css; charset=utf-8',
    '.json': 'application/json',
    '.map': 'application/json',
    '.py': 'text/plain; charset=utf-8',
    '.wasm': 'application/wasm',
    '.svg': 'image/svg+xml',
}
ISOLATION_HEADERS = {'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp'}
RANGE = re.compile(r'bytes=(\d*)-(\d*)$')
WHOLE_LIMIT = 1 << 16


@dataclass
class RequestRecord:
    """One answered request. sent: bytes of the body."""

    method: str
    path: str
    status: int
    sent: int


@dataclass
class Site:
    """What is served. roots: path prefix -> folder, the longest fitting prefix wins; headers go with every answer."""

    roots: dict[str, Path]
    headers: dict[str, str] = field(default_factory=dict)
    log: list[RequestRecord] = field(default_factory=list)

    def find(self, path: str) -> Path | None:
        """The file for a URL path, None if there is none or it lies outside its folder."""
        for prefix in sorted(self.roots, key=len, reverse=True):
            folder = prefix.rstrip('/') + '/'
            if path.startswith(folder):
                root = self.roots[prefix]
                found = Path(os.path.normpath(root / path.removeprefix(folder).lstrip('/')))
                if not found.is_relative_to(root):
                    return None
                return found / 'index.html' if found.is_dir() else found
        return None


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first and the last byte + 1 that a Range header asks for; None: the whole; ValueError: outside the file (RFC 9110 14.2)."""
    match = RANGE.match(header.strip()) if header else None
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        if int(last) == 0 or size == 0:
            raise ValueError('empty range')
        return max(0, size - int(last)), size
    start = int(first)
    end = min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return None
    if start >= size:
        raise ValueError('range starts behind the end')
    return start, end


class Handler(BaseHTTPRequestHandler):
    """Answers GET, HEAD and the CORS preflight from the site of its server."""

    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    server: StaticServer

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_OPTIONS(self) -> None:
        self._send(HTTPStatus.NO_CONTENT, {'Access-Control-Allow-Methods': 'GET, HEAD, OPTIONS', 'Access-Control-Allow-Headers': '*'}, b'')

    def _answer(self, *, body: bool) -> None:
        found = self.server.site.find(unquote(urlsplit(self.path).path))
        if found is None or not found.is_file():
            self._send(HTTPStatus.NOT_FOUND, {'Content-Type': 'text/plain'}, b'not found\n', body=body)
            return
        with found.open('rb') as handle:
            state = os.fstat(handle.fileno())
            kind = MIME_TYPES.get(found.suffix) or mimetypes.guess_type(found.name)[0] or 'application/octet-stream'
            headers = {
                'Content-Type': kind,
                'Accept-Ranges': 'bytes',
                'ETag': f'"{state.st_mtime_ns:x}-{state.st_size:x}"',
                'Last-Modified': email.utils.formatdate(state.st_mtime, usegmt=True),
                'Cache-Control': 'no-cache',
            }
            if self.headers.get('If-None-Match') == headers['ETag']:
                self._send(HTTPStatus.NOT_MODIFIED, headers, None)
                return
            asked = self.headers.get('Range')
            if self.headers.get('If-Range') not in (None, headers['ETag'], headers['Last-Modified']):
                asked = None
            try:
                part = byte_range(asked, state.st_size)
            except ValueError:
                headers['Content-Range'] = f'bytes */{state.st_size}'
                self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers, b'', body=body)
                return
            start, end = part if part is not None else (0, state.st_size)
            if part is not None:
                headers['Content-Range'] = f'bytes {start}-{end - 1}/{state.st_size}'
            status = HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT
            headers['Content-Length'] = str(end - start)
            if end - start <= WHOLE_LIMIT:
                handle.seek(start)
                self._send(status, headers, handle.read(end - start), body=body)
                return
            self._send(status, headers, None, sent=end - start if body else 0)
            if body:
                self.wfile.flush()
                self.connection.sendfile(handle, start, end - start)

    def _send(self, status: HTTPStatus, headers: dict[str, str], content: bytes | None, *, body: bool = True, sent: int = 0) -> None:
        self.send_response_only(status)
        everything = {'Access-Control-Allow-Origin': '*', 'Access-Control-Expose-Headers': '*', 'Timing-Allow-Origin': '*',
                      'Cross-Origin-Resource-Policy': 'cross-origin', **headers, **self.server.site.headers}
        if content is not None and status != HTTPStatus.NO_CONTENT:
            everything.setdefault('Content-Length', str(len(content)))
        for name, value in everything.items():
            self.send_header(name, value)
        written = content if content is not None and body else b''
        self.server.site.log.append(RequestRecord(self.command, self.path, status, sent or len(written)))
        self._headers_buffer.append(b'\r\n' + written)
        self.flush_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the site keeps the log."""


class StaticServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], site: Site) -> None:
        super().__init__(address, Handler)
        self.site = site

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is its own affair; anything else is shown."""
        import sys

        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class Server:
    """A server in a thread of its own, for `with`. isolated: the headers that make a page cross-origin isolated."""

    def __init__(self, roots: dict[str, Path], *, isolated: bool = False, host: str = '127.0.0.1', port: int = 0) -> None:
        self.site = Site({prefix: Path(root).resolve() for prefix, root in roots.items()}, dict(ISOLATION_HEADERS) if isolated else {})
        self._server = StaticServer((host, port), self.site)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name='static-server', daemon=True)
        self.origin = f'http://{host}:{self._server.server_address[1]}'

    def url(self, path: str) -> str:
        """The address of a path on this server."""
        return self.origin + path

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> None:
    parser = argparse.ArgumentParser(description='Serve folders over HTTP.')
    parser.add_argument('roots', nargs='+', metavar='PREFIX=FOLDER', help='such as /dist=dist')
    parser.add_argument('--host', default='127.0.0.1')
    parser.add_argument('--port', type=int, default=8000)
    parser.add_argument('--isolated', action='store_true', help='send COOP and COEP headers')
    options = parser.parse_args()
    roots = {prefix: Path(folder) for prefix, folder in (root.split('=', 1) for root in options.roots)}
    with Server(roots, isolated=options.isolated, host=options.host, port=options.port) as server:
        print(f'serving {server.url("/")} (Ctrl-C stops)')
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


if __name__ == '__main__':
    main()
