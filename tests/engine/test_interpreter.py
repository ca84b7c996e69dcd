"""Graphs without a plan: shapes that depend on data, loops, sequences, strings, sparse tensors."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper, parser

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import call_later, new_abort_controller
from edgeflow.runtime.model import Model, create_model
from edgeflow.runtime.tensor import tensor
from tests.engine.node_models import by_edgeflow, node_model

HEADER = '<ir_version: 10, opset_import: ["" : 21]> '


def parsed(text: str) -> onnx.ModelProto:
    model = parser.parse_model(HEADER + text)
    onnx.checker.check_model(model)
    return model


async def load(text: str) -> Model:
    return await create_model(memoryview(parsed(text).SerializeToString()), {}, 'wasm')


def heap_used(model: Model) -> int:
    return model._executable._machine.engine.heap.used


async def as_onnxruntime(text: str, inputs: dict[str, np.ndarray]) -> None:
    """Both give the same outputs for the inputs, twice, and no memory stays behind."""
    expected = onnxruntime.InferenceSession(parsed(text).SerializeToString()).run(None, inputs)
    model = await load(text)
    used = []
    for _ in range(2):
        results = await model.run({name: tensor(array) for name, array in inputs.items()})
        for got, wanted in zip(results.values(), expected, strict=True):
            if isinstance(wanted, list):
                assert [x.shape for x in got] == [list(x.shape) for x in wanted]
                assert [x.tolist() for x in got] == [x.tolist() for x in wanted]
            else:
                assert got.shape == list(wanted.shape)
                np.testing.assert_allclose(np.reshape(got.tolist(), got.shape), wanted, rtol=1e-5)
        used.append(heap_used(model))
    model.dispose()
    assert used[0] == used[1]


NUMBERS = np.array([[1, 0, -2], [0, 0, 3]], np.float32)


async def test_a_shape_that_data_decides() -> None:
    await as_onnxruntime("""
    g (float[n, m] x) => (float[k] picked, float[a, m] rows, int64[2, k] places) {
      places = NonZero(x)
      index = Transpose(places)
      picked = GatherND(x, index)
      axis = Constant<value_ints = [1]>()
      sums = ReduceSum<keepdims = 0>(x, axis)
      zero = Constant<value_float = 0.0>()
      kept = Greater(sums, zero)
      rows = Compress<axis = 0>(x, kept)
    }""", {'x': NUMBERS})


COUNTED = """
g (float[n, m] x) => (int64[2, k] places, float[k] picked) {
  dims = Shape(x)
  ones = ConstantOfShape<value = int64[1] {1}>(dims)
  places = NonZero(ones)
  index = Transpose(places)
  picked = GatherND(x, index)
}"""


async def test_where_only_shapes_decide_there_is_a_plan() -> None:
    """TorchScript writes repeat_interleave so, and before opset 11 arange (Cohere's rotary embedding)."""
    await as_onnxruntime(COUNTED, {'x': NUMBERS})
    model = await load(COUNTED)
    await model.run({'x': tensor(NUMBERS)})
    assert model._executable._interpreter is None


async def test_a_shape_that_is_an_input() -> None:
    await as_onnxruntime('g (float[n, m] x, int64[r] shape) => (float[a, b] y) { y = Reshape(x, shape) }', {'x': NUMBERS, 'shape': np.array([3, -1])})


FIBONACCI = """
g (int64 turns, float[1] first) => (float[1] last, float[k, 1] all) {
  yes = Constant<value = bool {1}>()
  one = Constant<value = float[1] {1.0}>()
  last, before, all = Loop(turns, yes, first, one) <body = b (int64 i, bool c, float[1] x, float[1] y) => (bool go, float[1] z, float[1] old, float[1] seen) {
    z = Add(x, y)
    old = Identity(x)
    seen = Mul(z, first)
    limit = Constant<value = float[1] {50.0}>()
    less = Less(z, limit)
    axes = Constant<value_ints = [0]>()
    go = Squeeze(less, axes)
  }>
}"""


async def test_a_profile_has_every_node_that_ran() -> None:
    """Those of a loop's body once for each turn; the loop itself is what they are together."""
    model = await load(FIBONACCI)
    times = await model.profile({'turns': tensor(3, [], 'int64'), 'first': tensor(np.array([1], np.float32))})
    model.dispose()
    kernels = [time.kernel for time in times]
    assert [kernels.count(name) for name in ('Add', 'Mul', 'Squeeze', 'Loop')] == [3, 3, 3, 0]
    assert all(time.device == 'wasm' and time.ms >= 0 and time.kernel in time.node for time in times)



@pytest.mark.parametrize('turns', [0, 1, 5, 100])
async def test_a_loop_that_ends_early(turns: int) -> None:
    await as_onnxruntime(FIBONACCI, {'turns': np.array(turns), 'first': np.array([1], np.float32)})


async def test_branches_within_a_loop() -> None:
    await as_onnxruntime("""
    g (int64 turns, float[n] x) => (seq(float[m]) parts, float[k] joined) {
      yes = Constant<value = bool {1}>()
      none = SequenceEmpty()
      parts = Loop(turns, yes, none) <body = b (int64 i, bool c, seq(float[m]) s) => (bool go, seq(float[m]) t) {
        go = Identity(c)
        two = Constant<value = int64 {2}>()
        rest = Mod(i, two)
        odd = Cast<to = 9>(rest)
        y = If (odd) <
          then_branch = t () => (float[m] a) { a = Neg(x) },
          else_branch = e () => (float[p] d) { d = Concat<axis = 0>(x, x) }
        >
        t = SequenceInsert(s, y)
      }>
      joined = ConcatFromSequence<axis = 0>(parts)
    }""", {'turns': np.array(3), 'x': np.array([1, 2], np.float32)})


async def test_scan_backwards_along_another_axis() -> None:
    await as_onnxruntime("""
    g (float[2] start, float[2, n] x) => (float[2] total, float[2, n] sums) {
      total, sums = Scan<num_scan_inputs = 1, scan_input_axes = [1], scan_input_directions = [1], scan_output_axes = [1], scan_output_directions = [1],
        body = b (float[2] state, float[2] column) => (float[2] next, float[2] out) {
          next = Add(state, column)
          out = Identity(next)
        }>(start, x)
    }""", {'start': np.zeros(2, np.float32), 'x': np.arange(8, dtype=np.float32).reshape(2, 4)})


async def test_what_a_long_loop_leaves_behind_is_freed() -> None:
    model = await load("""
    g (int64 turns, float[n] x) => (float[n] y) {
      yes = Constant<value = bool {1}>()
      y = Loop(turns, yes, x) <body = b (int64 i, bool c, float[n] v) => (bool go, float[n] w) {
        go = Identity(c)
        one = Constant<value = float {1.0}>()
        a = Add(v, one)
        m = Neg(a)
        w = Neg(m)
      }>
    }""")
    result = await model.run({'turns': tensor(np.array(400)), 'x': tensor(np.zeros(65536, np.float32))})
    assert set(result['y'].tolist()) == {400}
    # 1,200 tensors of 256 KB.
    assert model.memory().total < 32e6
    model.dispose()


ENDLESS = """
g (int64 turns, float[1] x) => (float[1] y) {
  yes = Constant<value = bool {1}>()
  y = Loop(turns, yes, x) <body = b (int64 i, bool c, float[1] v) => (bool go, float[1] w) { go = Identity(c) w = Neg(v) }>
}"""


async def test_a_loop_can_be_cancelled_and_the_model_used_again() -> None:
    model = await load(ENDLESS)
    controller = new_abort_controller()
    call_later(30, controller.abort)
    began = time.monotonic()
    with pytest.raises(EdgeflowError) as error:
        await model.run({'turns': tensor(np.array(2 ** 50)), 'x': tensor(np.ones(1, np.float32))}, signal=controller.signal)
    assert error.value.code == 'aborted'
    assert time.monotonic() - began < 5
    assert (await model.run({'turns': tensor(np.array(3)), 'x': tensor(np.ones(1, np.float32))}))['y'].tolist() == [-1]
    model.dispose()


async def test_a_model_can_be_disposed_while_it_loops() -> None:
    model = await load(ENDLESS)
    running = asyncio.ensure_future(model.run({'turns': tensor(np.array(2 ** 50)), 'x': tensor(np.ones(1, np.float32))}))
    await asyncio.sleep(0.03)
    model.dispose()
    with pytest.raises(EdgeflowError) as error:
        await running
    assert error.value.code in ('disposed', 'aborted')


async def test_a_loop_that_nothing_could_end_is_refused() -> None:
    model = await load("""
    g (float[1] x) => (float[1] y) {
      y = Loop( , , x) <body = b (int64 i, bool c, float[1] v) => (bool go, float[1] w) { go = Identity(c) w = Neg(v) }>
    }""")
    with pytest.raises(EdgeflowError, match='without an end') as error:
        await model.run({'x': tensor([1.0])})
    assert error.value.code == 'invalid-graph'


async def test_a_failure_names_the_node_and_leaves_the_model_usable() -> None:
    model = await load('g (seq(float[n]) s, int64 i) => (float[n] y) { y = SequenceAt(s, i) }')
    parts = [tensor([1.0, 2.0]), tensor([3.0])]
    with pytest.raises(EdgeflowError, match='SequenceAt') as error:
        await model.run({'s': parts, 'i': tensor(np.array(2))})
    assert error.value.code == 'run-failed'
    assert (await model.run({'s': parts, 'i': tensor(np.array(-1))}))['y'].tolist() == [3.0]
    model.dispose()


@pytest.mark.parametrize(('given', 'message'), [
    (tensor([1.0]), 'seq'), ([tensor([1])], 'seq'), ([1.0], 'seq'), (None, 'seq'),
])
async def test_inputs_of_another_kind_are_refused(given: object, message: str) -> None:
    model = await load('g (seq(int64[n]) s) => (int64 y) { y = SequenceLength(s) }')
    with pytest.raises(EdgeflowError, match=message) as error:
        await model.run({'s': given})
    assert error.value.code == 'invalid-input'


async def test_strings_are_moved_compared_and_cast() -> None:
    model = await load("""
    g (string[n] x, float[m] numbers) => (string[a, b] both, bool[n] same, string[m] texts, float[m] back) {
      word = Constant<value_strings = ["no", "yes"]>()
      joined = Concat<axis = 0>(x, word)
      shape = Constant<value_ints = [2, -1]>()
      both = Reshape(joined, shape)
      one = Constant<value_string = "yes">()
      same = Equal(x, one)
      texts = Cast<to = 8>(numbers)
      back = Cast<to = 1>(texts)
    }""")
    results = await model.run({'x': tensor(['yes', 'ja']), 'numbers': tensor(np.array([1, 0.1, -1e-7, 3e20, np.inf, np.nan], np.float32))})
    assert results['both'].tolist() == [['yes', 'ja'], ['no', 'yes']]
    assert results['same'].tolist() == [True, False]
    assert results['texts'].tolist() == ['1.0', '0.1', '-1e-07', '3e+20', 'inf', 'nan']
    np.testing.assert_array_equal(results['back'].tolist(), np.array([1, 0.1, -1e-7, 3e20, np.inf, np.nan], np.float32))
    model.dispose()


@pytest.mark.parametrize('dtype', [np.int64, np.uint64])
async def test_whole_numbers_beyond_those_of_js_stay_apart(dtype: type) -> None:
    values = np.array([2 ** 62 + 1, 3, 2 ** 62, 3, 2 ** 62 + 1], dtype)
    kind = np.dtype(dtype).name
    model = await load(f'g ({kind}[n] x) => ({kind}[m] y, int64[m] first, int64[n] place, int64[m] count) {{ y, first, place, count = Unique(x) }}')
    results = await model.run({'x': tensor(values)})
    assert results['y'].data.tolist() == [3, 2 ** 62, 2 ** 62 + 1]
    assert results['count'].tolist() == [2, 1, 2]
    model.dispose()


@pytest.mark.parametrize('flat', [True, False])
async def test_sparse_tensors_become_dense(flat: bool) -> None:
    dense = np.zeros((3, 4), np.float32)
    dense[0, 1], dense[2, 3] = 5, 7
    places = np.array([1, 11]) if flat else np.array([[0, 1], [2, 3]])
    sparse = helper.make_sparse_tensor(numpy_helper.from_array(np.array([5, 7], np.float32), 'w'), numpy_helper.from_array(places), [3, 4])
    model = parsed('g (float[3, 4] x) => (float[3, 4] y) { y = Identity(x) }')
    del model.graph.node[:]
    model.graph.sparse_initializer.append(sparse)
    model.graph.node.append(helper.make_node('Constant', [], ['c'], sparse_value=sparse))
    model.graph.node.append(helper.make_node('Sum', ['x', 'w', 'c'], ['y']))
    loaded = await create_model(memoryview(model.SerializeToString()), {}, 'wasm')
    assert (await loaded.run({'x': tensor(dense)}))['y'].tolist() == (3 * dense).tolist()
    loaded.dispose()


async def test_sparse_tensors_with_places_outside_are_refused() -> None:
    sparse = helper.make_sparse_tensor(numpy_helper.from_array(np.array([5], np.float32), 'w'), numpy_helper.from_array(np.array([12])), [3, 4])
    model = parsed('g (float[3, 4] x) => (float[3, 4] y) { y = Add(x, x) }')
    model.graph.sparse_initializer.append(sparse)
    with pytest.raises(EdgeflowError) as error:
        await create_model(memoryview(model.SerializeToString()), {}, 'wasm')
    assert error.value.code == 'invalid-model'


async def test_random_numbers_are_those_of_numpy() -> None:
    model = await load('g (float[n, m] x) => (double[n, m] u, double[n, m] v) { u = RandomUniformLike<dtype = 11, seed = 7.0>(x) v = RandomNormalLike<dtype = 11, seed = 7.0>(x) }')
    results = await model.run({'x': tensor(np.zeros((3, 5), np.float32))})
    assert results['u'].tolist() == np.random.RandomState(7).rand(3, 5).tolist()
    np.testing.assert_allclose(results['v'].tolist(), np.random.RandomState(7).randn(3, 5), rtol=1e-14)
    model.dispose()


GRAMS = {'mode': 'TF', 'min_gram_length': 1, 'max_gram_length': 1, 'max_skip_count': 0, 'ngram_counts': [0], 'pool_int64s': [1, 2]}
LEAF = {
    'nodes_modes': ['LEAF'], 'nodes_nodeids': [0], 'nodes_treeids': [0], 'nodes_featureids': [0], 'nodes_values': [0.0], 'nodes_truenodeids': [0],
    'nodes_falsenodeids': [0], 'target_ids': [0], 'target_nodeids': [0], 'target_treeids': [0], 'target_weights': [1.0],
}
WHOLE = np.array([[1, 2]], np.int64)
MEL = [np.array(8), np.array(10 ** 8), np.array(8000), np.array(0, np.float32), np.array(4000, np.float32)]


@pytest.mark.parametrize(('op', 'inputs', 'attributes'), [
    ('TfIdfVectorizer', [WHOLE], {**GRAMS, 'ngram_indexes': [0, 10 ** 9]}),
    ('TfIdfVectorizer', [WHOLE[:0]], {**GRAMS, 'ngram_indexes': [0, 10 ** 9], 'mode': 'IDF'}),
    ('FeatureVectorizer', [NUMBERS], {'inputdimensions': [10 ** 9]}),
    ('TreeEnsembleRegressor', [NUMBERS], {'n_targets': 10 ** 9, **LEAF}),
    ('Multinomial', [NUMBERS], {'sample_size': 10 ** 9}),
    ('RandomNormal', [], {'shape': [10 ** 5, 10 ** 5]}),
    ('RandomUniform', [], {'shape': [10 ** 15]}),
    ('MelWeightMatrix', MEL, {}),
    ('HannWindow', [np.array(10 ** 9)], {}),
], ids=str)
async def test_a_number_that_asks_for_more_than_there_is_memory_is_refused(op: str, inputs: list[np.ndarray], attributes: dict) -> None:
    domain = 'ai.onnx.ml' if op in ['FeatureVectorizer', 'TreeEnsembleRegressor'] else ''
    model = node_model(op, inputs, ['float32'], [], domain, **attributes)
    with pytest.raises(EdgeflowError) as e:
        await by_edgeflow(model, {f'x{i}': x for i, x in enumerate(inputs)})
    assert e.value.code == ('unsupported-op' if op == 'MelWeightMatrix' else 'out-of-memory')
    assert op == 'HannWindow' or (op in e.value.message and 'expected at most 67108864' in e.value.message)


@pytest.mark.parametrize('indexes', [[0], [0, -1]])
async def test_n_grams_without_a_place_are_refused(indexes: list[int]) -> None:
    with pytest.raises(EdgeflowError, match='expected an index from 0 up for each of 2 n-grams') as e:
        await by_edgeflow(node_model('TfIdfVectorizer', [WHOLE], ['float32'], [], **GRAMS, ngram_indexes=indexes), {'x0': WHOLE})
    assert e.value.code == 'invalid-graph'


async def test_no_rows_of_n_grams() -> None:
    model = node_model('TfIdfVectorizer', [WHOLE[:0]], ['float32'], [], **{**GRAMS, 'mode': 'IDF'}, ngram_indexes=[0, 3])
    assert (await by_edgeflow(model, {'x0': WHOLE[:0]}))['y0'].shape == (0, 4)
