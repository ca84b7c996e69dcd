"""profile(): how long the kernels of a run took, on the GPU and on WASM."""

from __future__ import annotations

import pytest

from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS
from tests.engine.cases import load as load_on_wasm
from tests.engine.cases import text_encoder_cases
from tests.gpu.test_models import load

CASE = next(case for case in text_encoder_cases() if case.model == 'bert-mini-sentence/onnx/model.onnx')


async def test_every_dispatch_is_timed() -> None:
    model = await load(CASE.model)
    await model.run(CASE.inputs())
    times = await model.profile(CASE.inputs())
    assert {time.device for time in times} == {'webgpu'}
    assert all(0 <= time.ms < 10000 for time in times) and sum(time.ms for time in times) > 0
    assert len([time for time in times if 'edgeflow:MatMul' in time.node]) >= model.placement().nodes['edgeflow:MatMul']
    model.dispose()


async def test_nodes_on_wasm_and_what_crosses_are_timed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(GPU_LOWERINGS, 'edgeflow:Sdpa')
    model = await load(CASE.model)
    times = await model.profile(CASE.inputs())
    assert {time.device for time in times} == {'webgpu', 'wasm'}
    assert [time.kernel for time in times].count('down') == 2
    model.dispose()


async def test_on_wasm() -> None:
    model = await load_on_wasm(CASE.model)
    times = await model.profile(CASE.inputs())
    assert {time.device for time in times} == {'wasm'} and len(times) > 10
    assert sum('edgeflow:MatMul' in time.node for time in times) >= 12
    model.dispose()


@pytest.mark.parametrize('on', ['gpu', 'wasm'])
async def test_a_step_of_a_session(on: str) -> None:
    model = await (load if on == 'gpu' else load_on_wasm)('gpt2-mini/onnx/decoder_model_merged.onnx')
    session, other = await model.open_session(), await model.open_session()
    prompt = [5, 9, 2, 7]
    whole = await session.profile(prompt)
    assert session.ids == []
    following = [(await session.prompt(prompt)).token_id, (await other.prompt(prompt)).token_id]
    step = await session.profile(following[:1])
    assert session.ids == prompt and following[0] == following[1]
    for times in (whole, step):
        assert {time.device for time in times} >= {'webgpu' if on == 'gpu' else 'wasm'} and len(times) > 10
        assert any('edgeflow:' in time.node for time in times)
    # What was timed is forgotten.
    assert (await session.feed(following[:1])).token_id == (await other.feed(following[:1])).token_id
    model.dispose()
