"""Sessions of a model that lives in a worker: the page's side, and what the worker does for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from edgeflow.backends.contract import Feed, MemoryUse, RunControl
from edgeflow.backends.generation import Decoder, Feeding, NextToken
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import start_task
from edgeflow.runtime.messages import Parcel, memory_fields, read_feeds, read_memory

# Sends a parcel to the worker and gives its answer; cancels the question when the control says so.
Ask = Callable[[Parcel, RunControl | None], Awaitable[dict[str, object]]]


class RemoteDecoder:
    """generation.Decoder over a worker's."""

    def __init__(self, ask: Ask) -> None:
        self._ask: Ask = ask
        self._memory: MemoryUse = MemoryUse(0, 0, 0, 0)

    async def open(self, inputs: dict[str, Feed]) -> int:
        parcel = self._parcel('open')
        parcel.add_feeds(inputs, False)
        return await self._begun(parcel)

    async def fork(self, session: int, length: int) -> int:
        return await self._begun(self._parcel('fork', session, length))

    async def _begun(self, parcel: Parcel) -> int:
        answer = await self._ask(parcel, None)
        return cast(int, answer['session'])

    async def advance(self, feedings: list[Feeding], control: RunControl | None = None) -> list[NextToken]:
        parcel = self._parcel('advance')
        parcel.fields['cancellable'] = control is not None
        parcel.fields['feedings'] = [[feeding.session, feeding.ids, feeding.at, feeding.begins, feeding.choosing] for feeding in feedings]
        answer = await self._ask(parcel, control)
        self._memory = read_memory(answer['memory'])
        return [_read_chosen(row) for row in cast('list[list]', answer['chosen'])]

    def rewind(self, session: int, length: int) -> None:
        self._tell('rewind', session, length)

    def close(self, session: int) -> None:
        self._tell('close', session, 0)

    def cache_memory(self) -> MemoryUse:
        return self._memory

    def _parcel(self, action: str, session: int = 0, length: int = 0) -> Parcel:
        parcel = Parcel('decode')
        parcel.fields['action'] = action
        parcel.fields['session'] = session
        parcel.fields['length'] = length
        return parcel

    def _tell(self, action: str, session: int, length: int) -> None:
        async def send() -> None:
            try:
                await self._ask(self._parcel(action, session, length), None)
            except EdgeflowError:
                # Worker or model are gone, and the session with them.
                return

        start_task(send)


async def answer_decoding(decoder: Decoder, message: dict[str, object], control: RunControl) -> Parcel:
    """In the worker: do what a RemoteDecoder asks."""
    parcel = Parcel('answer')
    action = message['action']
    if action == 'open':
        parcel.fields['session'] = await decoder.open(read_feeds(message))
    elif action == 'fork':
        parcel.fields['session'] = await decoder.fork(cast(int, message['session']), cast(int, message['length']))
    elif action == 'advance':
        feedings = [Feeding(row[0], row[1], row[2], row[3], row[4]) for row in cast('list[list]', message['feedings'])]
        chosen = await decoder.advance(feedings, control if message['cancellable'] else None)
        parcel.fields['chosen'] = [_chosen_row(one) for one in chosen]
        parcel.fields['memory'] = memory_fields(decoder.cache_memory())
    elif action == 'rewind':
        decoder.rewind(cast(int, message['session']), cast(int, message['length']))
    else:
        decoder.close(cast(int, message['session']))
    return parcel


def _chosen_row(chosen: NextToken) -> list[object]:
    return [chosen.token_id, chosen.logprob, [[other.token_id, other.logprob] for other in chosen.top]]


def _read_chosen(row: list) -> NextToken:
    top: list[NextToken] = [NextToken(other[0], other[1]) for other in row[2]]
    return NextToken(row[0], row[1], top)
