"""Fetching a part of edgeflow (toolchain/parts.py) in browsers and Node. JS only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edgeflow.errors import EdgeflowError


def _failed(message: str) -> EdgeflowError:
    return EdgeflowError('file-missing', message)


__pragma__('js', r'''
const parts = new Map();

function open(name, build, file, core) {
  if (file.build !== build) throw new Error('it is of another build');
  return file.default(core());
}
''')


def open_part(name: str, build: str, load: Callable[[], Awaitable[object]], core: Callable[[], list]) -> Awaitable[object]:
    """What others import of a part; fetched once. A failure is told, and forgotten: the next call tries again."""
    __pragma__('js', r'''
    if (!parts.has(name)) {
      parts.set(name, load().then(file => open(name, build, file, core)).catch(error => {
        parts.delete(name);
        throw _failed(`edgeflow-${name}.js, expected beside edgeflow.js, cannot be used: ${error.message}`);
      }));
    }
    return parts.get(name);
    ''')
