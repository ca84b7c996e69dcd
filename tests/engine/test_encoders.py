"""Every text encoder of tests/models, in CPython through wasmtime, against what onnxruntime gave."""

from __future__ import annotations

import numpy as np
import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.runtime.tensor import tensor
from tests.engine.cases import Case, assert_close, check_case, load, text_encoder_cases

CASES = text_encoder_cases()


def test_there_are_cases() -> None:
    assert len(CASES) >= 40


@pytest.mark.parametrize('case', CASES, ids=str)
async def test_outputs_are_those_of_onnxruntime(case: Case) -> None:
    await check_case(case, case.variant)


BERT = [case for case in CASES if case.model == 'bert-mini-sentence/onnx/model.onnx']


async def test_shapes_may_change_from_run_to_run() -> None:
    model = await load(BERT[0].model)
    for case in [BERT[0], BERT[1], BERT[0], BERT[1]]:
        results = await model.run(case.inputs())
        for name, array in case.arrays('out:').items():
            assert_close(case.variant, results[name].data.reshape(array.shape), array)


def lengths(first: int, last: int) -> list[dict[str, np.ndarray]]:
    ids = [np.arange(1, n + 1, dtype=np.int64).reshape(1, n) for n in range(first, last)]
    return [{'input_ids': x, 'attention_mask': np.ones_like(x), 'token_type_ids': np.zeros_like(x)} for x in ids]


async def test_plans_are_forgotten_and_memory_stays_bounded() -> None:
    model = await load(BERT[0].model)
    first: dict[int, np.ndarray] = {}
    totals: list[int] = []
    for _ in range(3):
        for inputs in lengths(1, 40):
            results = await model.run({name: tensor(x) for name, x in inputs.items()})
            got = results['last_hidden_state'].data
            length = inputs['input_ids'].size
            if length in first:
                np.testing.assert_array_equal(got, first[length])
            first[length] = got
        totals.append(model.memory().total)
    assert totals[1] == totals[2]


async def test_results_outlive_the_next_run_and_the_model() -> None:
    model = await load(BERT[0].model)
    results = await model.run(BERT[0].inputs())
    before = results['last_hidden_state'].data.copy()
    await model.run(BERT[1].inputs())
    model.dispose()
    np.testing.assert_array_equal(results['last_hidden_state'].data, before)


async def test_a_failed_run_names_its_node_and_leaves_the_model_usable() -> None:
    model = await load(BERT[0].model)
    inputs = BERT[0].inputs()
    bad = dict(inputs)
    bad['input_ids'] = tensor(np.full(inputs['input_ids'].shape, 10**6, dtype=np.int64))
    with pytest.raises(EdgeflowError, match='index is out of range') as e:
        await model.run(bad)
    assert e.value.code == 'run-failed'
    assert 'word_embeddings' in e.value.message
    results = await model.run(inputs)
    for name, array in BERT[0].arrays('out:').items():
        assert_close('fp32', results[name].data.reshape(array.shape), array)


async def test_wanted_outputs_alone_are_computed() -> None:
    model = await load('bert-qa-mini/onnx/model.onnx')
    case = next(x for x in CASES if x.model == 'bert-qa-mini/onnx/model.onnx')
    expected = case.arrays('out:')
    name = sorted(expected)[0]
    results = await model.run(case.inputs(), outputs=[name])
    assert list(results) == [name]
    assert_close('fp32', results[name].data.reshape(expected[name].shape), expected[name])
    with pytest.raises(EdgeflowError, match='has no output') as e:
        await model.run(case.inputs(), outputs=['logits_of_nothing'])
    assert e.value.code == 'invalid-input'


async def test_disposed_model_refuses_to_run() -> None:
    model = await load(BERT[0].model)
    model.dispose()
    model.dispose()
    assert model.memory().total == 0
    with pytest.raises(EdgeflowError) as e:
        await model.run(BERT[0].inputs())
    assert e.value.code == 'disposed'


async def test_weights_in_memory_are_near_their_size_in_the_file() -> None:
    model = await load('bert-mini-sentence/onnx/model.onnx')
    assert model.memory().weights <= 1.2 * (318445)


KERNELS_OF_A_BERT = {'gather', 'binary', 'layer_norm_f32', 'gemm_f32', 'sdpa_f32', 'copy_nd', 'cast', 'where'}


async def test_plan_of_a_bert_is_real_work_only() -> None:
    """Of 258 nodes: 5 steps of embeddings, a few for the mask, 9 for each of the two layers."""
    model = await load('bert-mini-sentence/onnx/model.onnx')
    lines = (await model.describe_plan({info.name: [2, 16] for info in model.inputs})).splitlines()
    steps = [line.split(' ')[1] for line in lines if line[0].isdigit() and ' steps, ' not in line]
    assert set(steps) <= KERNELS_OF_A_BERT
    assert len(steps) <= 28
    assert steps.count('gemm_f32') == 12
    assert steps.count('sdpa_f32') == 2
    assert steps.count('layer_norm_f32') == 5


async def test_arena_is_near_the_most_bytes_alive_at_once() -> None:
    for path in sorted({case.model for case in CASES}):
        model = await load(path)
        case = next(case for case in CASES if case.model == path and case.case.endswith('.1.npz'))
        text = (await model.describe_plan({name: list(x.shape) for name, x in case.arrays('in:').items()})).splitlines()[-1]
        arena, peak = int(text.split('arena ')[1].split(' ')[0]), int(text.split('at most ')[1].split(' ')[0])
        assert arena <= 1.2 * peak + 1024, path
        model.dispose()
