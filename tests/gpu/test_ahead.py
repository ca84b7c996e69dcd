"""Steps that are submitted before the token they take is known: whatever the caller does then, the tokens are those of a session fed in one go."""

from __future__ import annotations

import pytest

from edgeflow.backends.generation import Decoder, Feeding
from edgeflow.backends.webgpu.executable import GpuExecutable
from edgeflow.errors import EdgeflowError
from edgeflow.runtime.model import Model
from tests.gpu.test_models import load

FILE = 'smollm2-mini/onnx/model_q4.onnx'
PROMPT = [3, 17, 4, 99, 250, 31]


async def opened() -> tuple[Model, Decoder]:
    model = await load(FILE)
    return model, await model._executable.decoder()


async def at_once(decoder: Decoder, ids: list[int]) -> int:
    """The token after `ids`, all fed to a session of their own."""
    session = await decoder.open({})
    chosen = await decoder.advance([Feeding(session, ids, 0, True)])
    decoder.close(session)
    return chosen[0].token_id


async def steps(decoder: Decoder, session: int, ids: list[int], count: int) -> None:
    """Feed what was chosen, `count` times; `ids` grows."""
    for _ in range(count):
        chosen = await decoder.advance([Feeding(session, ids[-1:], len(ids) - 1)])
        ids.append(chosen[0].token_id)


async def begun(decoder: Decoder, prompt: list[int]) -> tuple[int, list[int]]:
    session = await decoder.open({})
    chosen = await decoder.advance([Feeding(session, prompt, 0, True)])
    return session, [*prompt, chosen[0].token_id]


async def test_what_is_submitted_ahead_is_what_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    submitted: list[bool] = []
    submit = GpuExecutable.submit

    async def noted(self: GpuExecutable, feeds: dict[str, object], token: str, chained: bool) -> object:
        submitted.append(chained)
        return await submit(self, feeds, token, chained)

    monkeypatch.setattr(GpuExecutable, 'submit', noted)
    model, decoder = await opened()
    session, ids = await begun(decoder, PROMPT)
    # Over the end of a page.
    await steps(decoder, session, ids, 70)
    # The second step is the first that could know that there will be another; each one after it was submitted before.
    assert submitted == [False, False, *[True] * 69]
    for length in [10, 63, 64, 65, 66, 76]:
        assert await at_once(decoder, ids[:length]) == ids[length]
    decoder.close(session)
    assert decoder._pages.used == 0
    model.dispose()
    assert model.memory().total == 0


async def test_another_token_than_the_one_chosen() -> None:
    model, decoder = await opened()
    session, ids = await begun(decoder, PROMPT)
    await steps(decoder, session, ids, 4)
    other = (ids[-1] + 1) % 500
    chosen = await decoder.advance([Feeding(session, [other], len(ids) - 1)])
    ids[-1] = other
    assert chosen[0].token_id == await at_once(decoder, ids)
    ids.append(chosen[0].token_id)
    await steps(decoder, session, ids, 4)
    assert await at_once(decoder, ids[:-1]) == ids[-1]
    # Several tokens at once.
    chosen = await decoder.advance([Feeding(session, [ids[-1], 7, 9], len(ids) - 1)])
    assert chosen[0].token_id == await at_once(decoder, [*ids, 7, 9])
    model.dispose()


async def test_a_text_that_goes_back() -> None:
    model, decoder = await opened()
    session, ids = await begun(decoder, PROMPT)
    await steps(decoder, session, ids, 60)
    decoder.rewind(session, 20)
    again = ids[:21]
    await steps(decoder, session, again, 40)
    assert again == ids[:61]
    decoder.close(session)
    assert decoder._pages.used == 0
    model.dispose()


@pytest.mark.parametrize('first', [0, 1])
async def test_a_fork_and_the_session_it_came_from(first: int) -> None:
    # 59 tokens: what is submitted ahead begins a page, or ends one.
    model, decoder = await opened()
    session, ids = await begun(decoder, PROMPT * 9)
    await steps(decoder, session, ids, 8 + first)
    fork = await decoder.fork(session, len(ids) - 1)
    other = [*ids[:-1], (ids[-1] + 1) % 500]
    both = [(session, ids), (fork, other)]
    for number, text in [both[first], both[1 - first], both[first], both[1 - first]]:
        await steps(decoder, number, text, 3)
    for number, text in both:
        assert await at_once(decoder, text[:-1]) == text[-1]
        decoder.close(number)
    assert decoder._pages.used == 0
    model.dispose()


async def test_sessions_that_take_turns_and_go_together() -> None:
    model, decoder = await opened()
    texts = [await begun(decoder, PROMPT), await begun(decoder, PROMPT[::-1])]
    for number, text in texts:
        await steps(decoder, number, text, 3)
    for _ in range(3):
        for number, text in texts:
            await steps(decoder, number, text, 1)
    chosen = await decoder.advance([Feeding(number, text[-1:], len(text) - 1) for number, text in texts])
    for i in range(2):
        texts[i][1].append(chosen[i].token_id)
    await steps(decoder, texts[0][0], texts[0][1], 3)
    for _, text in texts:
        assert await at_once(decoder, text[:-1]) == text[-1]
    model.dispose()


async def test_a_step_that_fails_behind_one_that_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    model, decoder = await opened()
    session, ids = await begun(decoder, PROMPT)
    await steps(decoder, session, ids, 2)
    device = model._executable._machine.gpu.device
    run = device.run

    def failing(commands: list[object], reads: list[object]) -> object:
        raise EdgeflowError('out-of-memory', 'no memory for what comes next', {})

    # The step that is on its way is read; the next one cannot be submitted.
    monkeypatch.setattr(device, 'run', failing)
    await steps(decoder, session, ids, 1)
    with pytest.raises(EdgeflowError) as caught:
        await steps(decoder, session, ids, 1)
    assert caught.value.code == 'out-of-memory'
    monkeypatch.setattr(device, 'run', run)
    await steps(decoder, session, ids, 3)
    assert await at_once(decoder, ids[:-1]) == ids[-1]
    model.dispose()
