"""The WebNN backend on a recording builder: models, partitions, what the limits do not allow, bad data, lost contexts, memory."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgeflow.api import load_model
from edgeflow.errors import EdgeflowError
from edgeflow.runtime.memory import memory_stats
from edgeflow.runtime.model import create_model
from edgeflow.runtime.tensor import tensor
from tests.engine.cases import MODELS, Case, assert_close, text_encoder_cases, vision_audio_cases
from tests.webnn import recorder
from tests.webnn.recorder import Context

WANTED = [
    'bert-mini-sentence/onnx/model.onnx', 'bert-mini-sentence/onnx/model_fp16.onnx', 'bert-mini-sentence/onnx/model_q4.onnx', 'bert-qa-mini/onnx/model.onnx',
    'distilbert-sst2-mini/onnx/model.onnx', 'xlm-roberta-mini/onnx/model.onnx', 'deberta-v2-nli-mini/onnx/model.onnx', 'modernbert-mlm-mini/onnx/model.onnx',
    'resnet-mini/onnx/model.onnx', 'resnet-mini/onnx/model_qdq_int8.onnx', 'vit-mini/onnx/model.onnx', 'wav2vec2-ctc-mini/onnx/model.onnx',
]
CASES = [case for case in [*text_encoder_cases(), *vision_audio_cases()] if case.model in WANTED]
BERT = next(case for case in CASES if case.model == WANTED[0])


@pytest.mark.parametrize('case', CASES, ids=str)
async def test_outputs_are_those_of_onnxruntime(case: Case, contexts: list[Context]) -> None:
    model = await load_model(str(MODELS / case.model), device='webnn-cpu')
    try:
        results = await model.run(case.inputs())
        for name, array in case.arrays('out:').items():
            assert_close(case.variant, results[name].data.reshape(array.shape), array)
        assert sum(model.placement().nodes.values()) > 0
    finally:
        model.dispose()
    assert contexts[0].device_type == 'cpu' and contexts[0].alive() == 0


def made(nodes: list[onnx.NodeProto], inputs: dict[str, list[int]], outputs: list[str], weights: dict[str, np.ndarray], dtype: int = 1) -> memoryview:
    graph = helper.make_graph(
        nodes, 'made', [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, dtype, None) for name in outputs], [numpy_helper.from_array(array, name) for name, array in weights.items()])
    return memoryview(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9).SerializeToString())


WEIGHT = np.arange(16, dtype=np.float32).reshape(4, 4) / 8
# Atan is no operator of WebNN.
CUT = [
    helper.make_node('MatMul', ['x', 'w'], ['a']), helper.make_node('Atan', ['a'], ['b']), helper.make_node('MatMul', ['x', 'v'], ['c']),
    helper.make_node('MatMul', ['c', 'b'], ['d']), helper.make_node('Abs', ['d'], ['y']),
]


async def test_the_fewest_partitions_with_what_crosses(contexts: list[Context]) -> None:
    model = await create_model(made(CUT, {'x': [4, 4]}, ['y', 'c'], {'w': WEIGHT, 'v': WEIGHT.T.copy()}), {}, 'webnn')
    x = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
    results = await model.run({'x': tensor(x)})
    c = x @ WEIGHT.T
    np.testing.assert_allclose(results['y'].data.reshape(4, 4), np.abs(c @ np.arctan(x @ WEIGHT)), rtol=1e-5)
    np.testing.assert_allclose(results['c'].data.reshape(4, 4), c, rtol=1e-5)
    placement = model.placement()
    assert placement.nodes == {'MatMul': 3, 'Abs': 1} and placement.fallback == {'Atan': 1}
    assert placement.reasons == {'Atan': 'WebNN has no such operator'}
    # Two graphs, and one wait between them: what Atan reads; c goes from graph to graph without one.
    assert contexts[0].events == ['dispatch', 'read', 'dispatch', 'read'] and len(contexts[0].graphs) == 2
    assert [sorted(graph.inputs) for graph in contexts[0].graphs][0] == ['v1'] and len(contexts[0].graphs[1].inputs) == 2
    model.dispose()


async def test_a_small_partition_is_not_worth_a_crossing(contexts: list[Context]) -> None:
    nodes = [
        helper.make_node('MatMul', ['x', 'w'], ['a']), helper.make_node('Atan', ['a'], ['b']), helper.make_node('Abs', ['b'], ['c']),
        helper.make_node('Atan', ['c'], ['y']),
    ]
    model = await create_model(made(nodes, {'x': [4, 4]}, ['y'], {'w': WEIGHT}), {}, 'webnn')
    results = await model.run({'x': tensor(WEIGHT)})
    np.testing.assert_allclose(results['y'].data.reshape(4, 4), np.arctan(np.abs(np.arctan(WEIGHT @ WEIGHT))), rtol=1e-5)
    assert model.placement().reasons['Abs'] == 'too little work to be worth a crossing'
    assert len(contexts[0].graphs) == 1
    model.dispose()


async def test_a_large_table_is_not_copied_into_graphs(contexts: list[Context]) -> None:
    table = np.arange(70000 * 4, dtype=np.float32).reshape(70000, 4) / 70000
    nodes = [helper.make_node('Gather', ['t', 'i'], ['a']), helper.make_node('MatMul', ['a', 'w'], ['y'])]
    graph = helper.make_graph(
        nodes, 'made', [helper.make_tensor_value_info('i', 7, [3])], [helper.make_tensor_value_info('y', 1, [3, 4])],
        [numpy_helper.from_array(table, 't'), numpy_helper.from_array(WEIGHT, 'w')])
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9).SerializeToString()
    model = await create_model(memoryview(data), {}, 'webnn')
    results = await model.run({'i': tensor(np.array([1, 69999, -2]))})
    np.testing.assert_allclose(results['y'].data.reshape(3, 4), table[[1, 69999, -2]] @ WEIGHT, rtol=1e-5)
    assert model.placement().reasons == {'Gather': 'a large table, of which every graph would have a copy'}
    assert model.placement().nodes == {'MatMul': 1} and model.memory().gpu < 1000
    model.dispose()


async def test_what_the_limits_do_not_allow_runs_on_wasm(contexts: list[Context], monkeypatch: pytest.MonkeyPatch) -> None:
    types, ranks = recorder.LIMITS['gather']['indices']
    monkeypatch.setitem(recorder.LIMITS['gather'], 'indices', [[dtype for dtype in types if dtype != 'int64'], ranks])
    model = await load_model(str(MODELS / BERT.model), device='webnn')
    results = await model.run(BERT.inputs())
    for name, array in BERT.arrays('out:').items():
        assert_close(BERT.variant, results[name].data.reshape(array.shape), array)
    placement = model.placement()
    assert 'gather: indices is int64' in placement.reasons['Gather'] and 'Gather' not in placement.nodes
    assert placement.nodes['edgeflow:MatMul'] > 0
    model.dispose()


async def test_what_cannot_be_compiled_runs_on_wasm(contexts: list[Context]) -> None:
    model = await create_model(made(CUT, {'x': [4, 4]}, ['y'], {'w': WEIGHT, 'v': WEIGHT.T.copy()}), {}, 'webnn')
    contexts[0].uncompiled.add('abs')
    results = await model.run({'x': tensor(WEIGHT)})
    np.testing.assert_allclose(results['y'].data.reshape(4, 4), np.abs(WEIGHT @ WEIGHT.T @ np.arctan(WEIGHT @ WEIGHT)), rtol=1e-5)
    placement = model.placement()
    assert placement.nodes == {'MatMul': 3} and placement.reasons['Abs'] == "WebNN fails: ['abs']"
    model.dispose()
    assert contexts[0].alive() == 0


async def test_graphs_are_kept_by_shape(contexts: list[Context]) -> None:
    model = await load_model(str(MODELS / BERT.model), device='webnn')
    for length, graphs in ((3, 1), (5, 2), (3, 2)):
        await model.run({name: tensor(np.ones((1, length), np.int64)) for name in model.input_names()})
        assert len(contexts[0].graphs) == graphs
    used = memory_stats().gpu.size
    assert used > 0 and model.memory().gpu == used
    model.dispose()
    assert memory_stats().gpu.size == 0 and contexts[0].alive() == 0


async def test_an_index_out_of_range_fails_the_run_alone(contexts: list[Context]) -> None:
    model = await load_model(str(MODELS / BERT.model), device='webnn')
    given = {name: np.ones((1, 4), np.int64) for name in model.input_names()}
    first = await model.run({name: tensor(x) for name, x in given.items()})
    with pytest.raises(EdgeflowError) as e:
        await model.run({name: tensor(np.full((1, 4), 10**6) if name == 'input_ids' else x) for name, x in given.items()})
    assert e.value.code == 'run-failed' and 'Gather' in e.value.message and 'out of range' in e.value.message
    again = await model.run({name: tensor(x) for name, x in given.items()})
    assert all((first[name].data == again[name].data).all() for name in first)
    model.dispose()


async def test_a_lost_context_is_opened_again(contexts: list[Context]) -> None:
    model = await load_model(str(MODELS / BERT.model), device='webnn')
    first = await model.run(BERT.inputs())
    contexts[0].destroy()
    second = await model.run(BERT.inputs())
    assert len(contexts) == 2
    read = contexts[1].read

    async def losing(tensors: list) -> list:
        contexts[1].destroy()
        return await read(tensors)

    contexts[1].read = losing
    with pytest.raises(EdgeflowError) as e:
        await model.run(BERT.inputs())
    assert e.value.code == 'device-lost'
    third = await model.run(BERT.inputs())
    assert len(contexts) == 3
    assert all((first[name].data == other[name].data).all() for name in first for other in (second, third))
    model.dispose()
    assert contexts[2].alive() == 0


async def test_what_has_no_plan_is_interpreted_on_wasm(contexts: list[Context]) -> None:
    nodes = [helper.make_node('NonZero', ['x'], ['n']), helper.make_node('Cast', ['n'], ['y'], to=1)]
    model = await create_model(made(nodes, {'x': [4]}, ['y'], {}), {}, 'webnn')
    for x, expected in (([0, 1, 0, 2], [1, 3]), ([1, 1, 0, 0], [0, 1])):
        results = await model.run({'x': tensor(np.array(x, np.float32))})
        assert results['y'].data.tolist() == expected
    placement = model.placement()
    assert placement.nodes == {} and set(placement.fallback) == {'NonZero', 'Cast'}
    model.dispose()


async def test_types_that_webnn_lacks_run_on_wasm(contexts: list[Context]) -> None:
    model = await create_model(made([helper.make_node('Abs', ['x'], ['y'])], {'x': [3]}, ['y'], {}, 11), {}, 'webnn')
    results = await model.run({'x': tensor(np.array([-1.5, 0, 2]))})
    assert results['y'].data.tolist() == [1.5, 0, 2]
    assert model.placement().reasons == {'Abs': 'WebNN does not know the type float64'}
    model.dispose()


async def test_cpython_has_no_webnn() -> None:
    with pytest.raises(EdgeflowError) as e:
        await load_model(str(MODELS / BERT.model), device='webnn-npu')
    assert e.value.code == 'platform' and 'webnn-npu' in e.value.message
