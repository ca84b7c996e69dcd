"""A thread that takes shares of other threads' runs: it is memory and a runner of tapes, which the leader (crew.py) lays out. Where
threads can share memory, it runs the leader's own tape in the leader's memory.

What the leader says: open, write, begin, share, end, close. The helper says: partial, away. It goes away when it gets work of its own:
from then on the leader does all shares of that run itself, so that it never waits for a helper that is busy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from edgeflow.backends.wasm.kernels import start_instance
from edgeflow.host.platform import bytes_memory, copy_bytes, now, own_bytes, pause, start_task
from edgeflow.host.port import Bytes, MessagePort, WasmInstance


# A thread that sleeps between shares is woken late, and often on the core that its leader is busy on. So it stays awake during a
# run; for so many ms at most after it heard of it, should the leader be lost.
AWAKE_MS = 30.0


class Helper:
    """The helper of the models of one leader, which speaks through `port`. busy: whether this thread has work of its own."""

    def __init__(self, port: MessagePort, busy: Callable[[], bool]) -> None:
        self._port: MessagePort = port
        self._busy: Callable[[], bool] = busy
        self._instances: dict[int, WasmInstance] = {}
        self._early: dict[int, list[dict[str, object]]] = {}
        self._run: int = 0
        self._heard: float = 0.0
        port.on_message(lambda message: self._hear(cast('dict[str, object]', message)))

    def step_away(self) -> None:
        """This thread has work of its own."""
        if self._run > 0:
            self._port.post({'kind': 'away', 'run': self._run}, [])
            self._run = 0

    def models(self) -> int:
        """How many models it has memory for."""
        return len(self._instances)

    def close(self) -> None:
        """The leader is gone."""
        self._instances = {}
        self._port.close()

    def _hear(self, message: dict[str, object]) -> None:
        kind = message['kind']
        model = cast(int, message['model'])
        if kind == 'open':
            self._early[model] = []
            start_task(lambda: self._open(model, message))
        elif model in self._early:
            self._early[model].append(message)
        else:
            self._obey(model, message)

    async def _open(self, model: int, message: dict[str, object]) -> None:
        """Messages that come before the instance is there wait for it. Without one this thread stays away."""
        try:
            instance: WasmInstance | None = await start_instance(message['memory'])
            if message['memory'] is not None:
                cast(WasmInstance, instance).set_global('__stack_pointer', cast(int, message['stack']))
        except Exception:
            instance = None
        if instance is not None:
            self._instances[model] = instance
        early = self._early.pop(model, [])
        for message in early:
            self._obey(model, message)

    def _obey(self, model: int, message: dict[str, object]) -> None:
        kind = message['kind']
        instance = self._instances.get(model)
        if kind == 'begin':
            self._run = cast(int, message['run'])
            if instance is None or self._busy():
                self.step_away()
            else:
                self._heard = now()
                start_task(lambda: self._stay_awake(self._run))
        elif kind == 'end':
            self._run = 0
        elif kind == 'close':
            self._instances.pop(model, None)
        elif instance is not None and (kind == 'write' or message['run'] == self._run):
            try:
                self._work(instance, message)
            except Exception:
                # No memory, most likely: what this instance holds is not what the leader believes.
                self._instances.pop(model, None)
                self.step_away()

    async def _stay_awake(self, run: int) -> None:
        while self._run == run and now() - self._heard < AWAKE_MS:
            await pause()

    def _work(self, instance: WasmInstance, message: dict[str, object]) -> None:
        if instance.shared_memory() is None:
            instance.grow(cast(int, message['size']))
        for row in cast('list[list]', message['data']):
            data: Bytes = row[1]
            copy_bytes(instance.view(row[0], len(data)), 0, data)
        if message['kind'] == 'write':
            return
        self._heard = now()
        words: list[int] = cast('list[int]', message['tape'])
        if instance.call('run_tape', words) != 0:
            self.step_away()
            return
        place: list[int] = cast('list[int]', message['partial'])
        answer: dict[str, object] = {'kind': 'partial', 'run': self._run, 'data': None}
        transfer: list[object] = []
        if instance.shared_memory() is None:
            data = own_bytes(instance.view(place[0], place[1]), False)
            answer['data'] = data
            transfer.append(bytes_memory(data))
        self._port.post(answer, transfer)
