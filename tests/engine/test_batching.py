"""Merged runs of real models give what single runs give; models whose runs cannot be merged are refused as they load."""

from __future__ import annotations

import asyncio
import gc
import weakref

import numpy as np
import pytest

from edgeflow import EdgeflowError, Model, Tensor, load_model, on_task, pipeline, scheduler_statistics, tensor
from edgeflow.host.platform import new_abort_controller
from edgeflow.runtime.batching import Batching
from tests.engine.cases import MODELS, Case, assert_close, text_encoder_cases

RANDOM = np.random.default_rng(5)
# Every fp32 text encoder, each once.
CASES = {case.model: case for case in text_encoder_cases() if case.variant == 'fp32'}


def random_inputs(case: Case, rows: int, columns: int) -> dict[str, Tensor]:
    """Inputs as those of the case, of another size: ids from those that it has, masks that hide the end of each row."""
    made: dict[str, Tensor] = {}
    for name, array in case.arrays('in:').items():
        values = RANDOM.choice(array.reshape(-1), (rows, columns))
        if name == 'attention_mask':
            values = np.arange(columns) < RANDOM.integers(1, columns + 1, (rows, 1))
        made[name] = tensor(values.astype(array.dtype))
    return made


class Runs:
    """The runs of the scheduler while this is entered: how many tasks each had."""

    def __enter__(self) -> Runs:
        self.sizes: dict[int, int] = {}
        self.stop = on_task(self.hear)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def hear(self, event: object) -> None:
        if event.kind == 'started':
            self.sizes[event.run] = self.sizes.get(event.run, 0) + 1


@pytest.mark.parametrize('path', CASES)
async def test_merged_runs_give_what_single_runs_give(path: str) -> None:
    case = CASES[path]
    single = await load_model(str(MODELS / path))
    merged = await load_model(str(MODELS / path), batching={'max_size': 4})
    requests = [random_inputs(case, 1, 7) for _ in range(6)] + [random_inputs(case, 2, 5) for _ in range(3)]
    with Runs() as runs:
        results = await asyncio.gather(*[merged.run(inputs) for inputs in requests])
    # The first finds the slot free and starts alone.
    assert list(runs.sizes.values()) == [1, 4, 1, 3]
    for inputs, result in zip(requests, results, strict=True):
        expected = await single.run(inputs)
        assert list(result) == list(expected)
        for name, value in expected.items():
            assert result[name].shape == value.shape
            assert_close('fp32', result[name].data, value.data)
            assert np.abs(result[name].data - value.data).max() < 1e-5 * max(1, np.abs(value.data).max())
            assert result[name].data.base is None or result[name].data.base.size == result[name].data.size, 'memory of its own'
    single.dispose()
    merged.dispose()


BERT = str(MODELS / 'bert-mini-sentence' / 'onnx' / 'model.onnx')


def inputs_of(model: Model, id: int, columns: int = 6) -> dict[str, Tensor]:
    return {info.name: tensor(np.full((1, columns), id if info.name == 'input_ids' else 1 if info.name == 'attention_mask' else 0)) for info in model.inputs}


async def test_without_the_option_nothing_is_merged() -> None:
    model = await load_model(BERT)
    with Runs() as runs:
        await asyncio.gather(*[model.run(inputs_of(model, 7)) for _ in range(4)])
    assert list(runs.sizes.values()) == [1, 1, 1, 1]
    model.dispose()


async def test_runs_that_want_other_outputs_are_not_merged() -> None:
    path = str(MODELS / 'bert-qa-mini' / 'onnx' / 'model.onnx')
    model = await load_model(path, batching=Batching())
    names = [info.name for info in model.outputs]
    with Runs() as runs:
        results = await asyncio.gather(*[model.run(inputs_of(model, 7), outputs=[names[i // 2]]) for i in range(4)])
    assert list(runs.sizes.values()) == [1, 1, 2]
    assert [list(result) for result in results] == [[names[0]], [names[0]], [names[1]], [names[1]]]
    model.dispose()


async def test_a_run_waits_for_company_as_long_as_it_was_told() -> None:
    model = await load_model(BERT, batching={'max_size': 2, 'max_wait': 60000})
    with Runs() as runs:
        first = asyncio.ensure_future(model.run(inputs_of(model, 7)))
        await asyncio.sleep(0.05)
        assert not first.done()
        await asyncio.gather(first, model.run(inputs_of(model, 9)))
    assert list(runs.sizes.values()) == [2]
    model.dispose()


async def test_a_cancelled_member_leaves_and_the_others_stay() -> None:
    model = await load_model(BERT, batching={'max_size': 4, 'max_wait': 60000})
    controllers = [new_abort_controller() for _ in range(4)]
    with Runs() as runs:
        tasks = [asyncio.ensure_future(model.run(inputs_of(model, 7 + i), signal=controllers[i].signal)) for i in range(3)]
        await asyncio.sleep(0)
        controllers[1].abort()
        await asyncio.sleep(0.01)
        tasks += [asyncio.ensure_future(model.run(inputs_of(model, 7 + i), signal=controllers[3].signal)) for i in range(2)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert list(runs.sizes.values()) == [4]
    assert isinstance(results[1], EdgeflowError) and results[1].code == 'aborted'
    assert [results[i]['last_hidden_state'].shape[:2] for i in (0, 2, 3, 4)] == [[1, 6]] * 4
    np.testing.assert_allclose(results[0]['last_hidden_state'].data, results[3]['last_hidden_state'].data, atol=1e-5)
    model.dispose()


async def test_the_member_to_blame_fails_alone() -> None:
    model = await load_model(BERT, batching={'max_size': 8})
    results = await asyncio.gather(*[model.run(inputs_of(model, id)) for id in (7, 8, 999999, 9)], return_exceptions=True)
    assert [isinstance(result, EdgeflowError) for result in results] == [False, False, True, False]
    assert results[2].code == 'run-failed'
    model.dispose()


async def test_inputs_that_are_given_up_are_merged_too() -> None:
    model = await load_model(BERT, batching={})
    expected = await model.run(inputs_of(model, 7))
    results = await asyncio.gather(*[model.run(inputs_of(model, 7), transfer=True) for _ in range(3)])
    for result in results:
        np.testing.assert_allclose(result['last_hidden_state'].data, expected['last_hidden_state'].data, atol=1e-5)
    model.dispose()


async def test_a_pipeline_merges_texts_of_one_length() -> None:
    folder = str(MODELS / 'bert-mini-sentence')
    plain = await pipeline('feature-extraction', folder)
    merging = await pipeline('feature-extraction', folder, batching={'max_size': 16})
    texts = ['tea', 'eat', 'tea', 'tea', 'eat a tea']
    with Runs() as runs:
        results = await asyncio.gather(*[merging.run(text, pooling='mean', normalize=True) for text in texts])
    assert len(runs.sizes) < len(texts)
    for text, result in zip(texts, results, strict=True):
        np.testing.assert_allclose(result.data, (await plain.run(text, pooling='mean', normalize=True)).data, atol=1e-5)
    plain.dispose()
    merging.dispose()


@pytest.mark.parametrize('path, name', [
    ('gpt2-mini/onnx/decoder_model_merged.onnx', 'use_cache_branch'),
    ('bert-mini-sentence/onnx/model_quantized.onnx', 'DynamicQuantizeLinear'),
])
async def test_models_whose_rows_depend_on_each_other_are_refused(path: str, name: str) -> None:
    with pytest.raises(EdgeflowError, match=name) as e:
        await load_model(str(MODELS / path), batching={})
    assert e.value.code == 'invalid-argument' and 'batching' in e.value.message


@pytest.mark.parametrize('given, code, said', [
    ({'max_size': 0}, 'invalid-argument', 'max_size'), ({'max_wait': -1}, 'invalid-argument', 'max_wait'),
    ({'maxsize': 2}, 'unknown-option', 'max_size'), (8, 'invalid-argument', 'int'),
])
async def test_bad_options(given: object, code: str, said: str) -> None:
    with pytest.raises(EdgeflowError, match=said) as e:
        await load_model(BERT, batching=given)
    assert e.value.code == code


async def test_a_forgotten_model_is_not_held_by_its_batcher() -> None:
    model = await load_model(BERT, batching={})
    await asyncio.gather(*[model.run(inputs_of(model, 7)) for _ in range(3)])
    gone, name = weakref.ref(model), model.id
    assert name in scheduler_statistics().models
    del model
    await asyncio.sleep(0)
    gc.collect()
    assert gone() is None
    assert name not in scheduler_statistics().models
