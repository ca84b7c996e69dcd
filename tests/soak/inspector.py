"""What a page and its workers hold, read through the browser's own protocol after a forced garbage collection."""

from __future__ import annotations

import json
from dataclasses import dataclass

from playwright.sync_api import Page


@dataclass(frozen=True)
class Held:
    """What one thread can reach on its JS heap, V8's own code left out.

    size: bytes of objects, arrays, closures, numbers, texts and hidden classes. browser_objects: how many objects of the browser there
    are, such as signals, ports and listeners (their bytes are those of hash tables, which shrink when the browser pleases).
    """

    size: int
    browser_objects: int


class Inspector:
    """Speaks with the page and with each of its workers that starts from now on."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._session = page.context.new_cdp_session(page)
        self._workers: list[str] = []
        self._answers: dict[int, dict] = {}
        self._asked = 0
        self._session.on('Target.attachedToTarget', lambda event: self._workers.append(event['sessionId']))
        self._session.on('Target.detachedFromTarget', lambda event: self._workers.remove(event['sessionId']))
        self._chunks: list[str] = []
        self._session.on('Target.receivedMessageFromTarget', self._hear)
        self._session.on('HeapProfiler.addHeapSnapshotChunk', lambda event: self._chunks.append(event['chunk']))
        self._session.send('Target.setAutoAttach', {'autoAttach': True, 'waitForDebuggerOnStart': False, 'flatten': False})

    def threads(self) -> list[str | None]:
        """The page (None), then its living workers."""
        return [None, *self._workers]

    def ask(self, thread: str | None, method: str, **parameters: object) -> dict:
        """One question of the protocol to one thread."""
        if thread is None:
            return self._session.send(method, parameters)
        self._asked += 1
        self._session.send('Target.sendMessageToTarget', {
            'sessionId': thread, 'message': json.dumps({'id': self._asked, 'method': method, 'params': parameters})})
        for _ in range(2000):
            if self._asked in self._answers:
                answer = self._answers.pop(self._asked)
                assert 'error' not in answer, (method, answer)
                return answer['result']
            self._page.wait_for_timeout(5)
        raise AssertionError(f'{method}: a worker has not answered in 10 s')

    def collect_garbage(self) -> None:
        """Twice: what finalizers let go of in the first round goes in the second."""
        for _ in range(2):
            for thread in self.threads():
                self.ask(thread, 'HeapProfiler.collectGarbage')
            self._page.wait_for_timeout(20)

    def held(self) -> list[Held]:
        """What each thread can reach."""
        return [read_snapshot(self.snapshot(thread)) for thread in self.threads()]

    def snapshot(self, thread: str | None) -> dict:
        """A thread's heap as the profiler writes it."""
        self._chunks.clear()
        self.ask(thread, 'HeapProfiler.takeHeapSnapshot', reportProgress=False)
        for _ in range(400):
            text = ''.join(self._chunks)
            if text.endswith('}'):
                break
            self._page.wait_for_timeout(5)
        return json.loads(text)

    def wasm_sizes(self) -> list[int]:
        """Bytes of every WebAssembly memory that lives, over all threads. (Runtime.queryObjects crashes Chromium 153 where there is a table.)"""
        return sorted(size for thread in self.threads() for size in read_memories(self.snapshot(thread)))

    def _hear(self, event: dict) -> None:
        message = json.loads(event['message'])
        if 'id' in message:
            self._answers[message['id']] = message
        elif message['method'] == 'HeapProfiler.addHeapSnapshotChunk':
            self._chunks.append(message['params']['chunk'])


def read_snapshot(snapshot: dict) -> Held:
    """Add up the nodes of a heap snapshot."""
    meta, nodes, names = snapshot['snapshot']['meta'], snapshot['nodes'], snapshot['strings']
    fields, kinds = meta['node_fields'], meta['node_types'][0]
    kind_at, name_at, size_at = fields.index('type'), fields.index('name'), fields.index('self_size')
    size = browser = 0
    for i in range(0, len(nodes), len(fields)):
        kind = kinds[nodes[i + kind_at]]
        if kind == 'native':
            browser += not names[nodes[i + name_at]].startswith('system / ')
        elif kind != 'code':
            size += nodes[i + size_at]
    return Held(size, browser)


def read_memories(snapshot: dict) -> list[int]:
    """The bytes of each WebAssembly.Memory: what backs its buffer."""
    meta, nodes, edges, names = snapshot['snapshot']['meta'], snapshot['nodes'], snapshot['edges'], snapshot['strings']
    fields, kinds, width = meta['node_fields'], meta['node_types'][0], len(meta['node_fields'])
    kind_at, name_at, size_at, count_at = (fields.index(name) for name in ('type', 'name', 'self_size', 'edge_count'))
    step, to_at = len(meta['edge_fields']), meta['edge_fields'].index('to_node')
    reached: dict[int, list[int]] = {}
    memories: list[int] = []
    at = 0
    for node in range(0, len(nodes), width):
        end = at + nodes[node + count_at] * step
        name = names[nodes[node + name_at]]
        if kinds[nodes[node + kind_at]] == 'object' and name in ('Memory', 'ArrayBuffer', 'SharedArrayBuffer'):
            reached[node] = edges[at + to_at:end:step]
            if name == 'Memory':
                memories.append(node)
        at = end
    data = {node for node in range(0, len(nodes), width) if names[nodes[node + name_at]] == 'system / JSArrayBufferData'}
    return [
        next(nodes[to + size_at] for buffer in reached[memory] if buffer in reached for to in reached[buffer] if to in data) for memory in memories
    ]
