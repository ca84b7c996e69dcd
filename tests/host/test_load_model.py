"""load_model and Model with real files: bytes, paths, addresses, repositories, and all that can be wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest

from edgeflow import EdgeflowError, Model, ProgressEvent, env, load_model, tensor
from edgeflow.host.platform import new_abort_controller
from tests.host.server import Server, serving

MODELS = Path(__file__).resolve().parents[1] / 'models'
BERT = MODELS / 'bert-mini-sentence'
ROBERTA = MODELS / 'xlm-roberta-mini'

pytestmark = pytest.mark.usefixtures('kernels')


@pytest.fixture
def hub() -> Iterator[Server]:
    with serving(MODELS) as running:
        env.remote_host, env.remote_path_template = running.address, '{model}/'
        yield running
        env.remote_host, env.remote_path_template = 'https://huggingface.co/', '{model}/resolve/{revision}/'


async def agrees(model: Model, folder: Path, name: str = 'model') -> None:
    """Runs the model on its first case and compares."""
    case = numpy.load(folder / 'cases' / f'{name}.0.npz')
    inputs = {key[3:]: tensor(case[key]) for key in case.files if key.startswith('in:')}
    outputs = await model.run(inputs)
    for key in case.files:
        if key.startswith('out:'):
            got = outputs[key[4:]]
            assert got.shape == list(case[key].shape)
            assert numpy.allclose(got.data.reshape(got.shape), case[key], rtol=1e-3, atol=1e-4)


async def test_a_path() -> None:
    heard: list[ProgressEvent] = []
    model = await load_model(str(BERT / 'onnx/model.onnx'), on_progress=heard.append)
    await agrees(model, BERT)
    assert [event.status for event in heard] == ['initiate', 'download', 'progress', 'done', 'ready']
    assert heard[-1].loaded_all == (BERT / 'onnx/model.onnx').stat().st_size
    model.dispose()


async def test_bytes() -> None:
    model = await load_model((BERT / 'onnx/model.onnx').read_bytes())
    await agrees(model, BERT)


async def test_an_address(hub: Server) -> None:
    model = await load_model(f'{hub.address}/xlm-roberta-mini/onnx/model.onnx?download=true')
    await agrees(model, ROBERTA)
    assert hub.requests == [f'/xlm-roberta-mini/onnx/{name}?download=true' for name in ['model.onnx', 'model.onnx_data']]


async def test_a_repository(hub: Server) -> None:
    await agrees(await load_model('xlm-roberta-mini'), ROBERTA)
    await agrees(await load_model(str(ROBERTA), file='model'), ROBERTA)


async def test_external_data_with_bytes() -> None:
    data = (ROBERTA / 'onnx/model.onnx').read_bytes()
    weights = (ROBERTA / 'onnx/model.onnx_data').read_bytes()
    await agrees(await load_model(data, external_data={'model.onnx_data': weights}), ROBERTA)
    for given in [None, {}, {'other': weights}, {'model.onnx_data': 'text'}]:
        with pytest.raises(EdgeflowError, match='model.onnx_data') as e:
            await load_model(data, external_data=given)
        assert e.value.code == 'file-missing'
    with pytest.raises(EdgeflowError) as e:
        await load_model(str(ROBERTA / 'onnx/model.onnx'), external_data={'model.onnx_data': weights})
    assert e.value.code == 'invalid-argument'


@pytest.mark.parametrize('source', [None, 3, '', ['x']])
async def test_sources_that_are_none(source: object) -> None:
    with pytest.raises(EdgeflowError) as e:
        await load_model(source)
    assert e.value.code == 'invalid-argument'


@pytest.mark.parametrize(['options', 'code', 'words'], [
    [{'devise': 'wasm'}, 'unknown-option', "Did you mean 'device'"],
    [{'device': 'wasn'}, 'invalid-argument', "did you mean 'wasm'"],
    [{'dtype': 'fp31'}, 'invalid-argument', "did you mean 'fp32'"],
    [{'dtype': 'q8'}, 'invalid-argument', 'dtype chooses among the files of a repository'],
])
async def test_options_that_are_wrong(options: dict, code: str, words: str) -> None:
    with pytest.raises(EdgeflowError, match=words) as e:
        await load_model(str(BERT / 'onnx/model.onnx'), **options)
    assert e.value.code == code


async def test_files_that_are_wrong(tmp_path: Path, hub: Server) -> None:
    (tmp_path / 'cut.onnx').write_bytes((BERT / 'onnx/model.onnx').read_bytes()[:5000])
    (tmp_path / 'text.onnx').write_text('<!doctype html>')
    (tmp_path / 'empty.onnx').write_bytes(b'')
    for name in ['cut', 'text', 'empty']:
        with pytest.raises(EdgeflowError) as e:
            await load_model(str(tmp_path / f'{name}.onnx'))
        assert e.value.code in ('invalid-model', 'invalid-graph'), name
    for source in [str(tmp_path / 'none.onnx'), f'{hub.address}/none.onnx', 'no-such-model', str(tmp_path)]:
        with pytest.raises(EdgeflowError) as e:
            await load_model(source)
        assert e.value.code == 'file-missing', source


async def test_abort(hub: Server) -> None:
    controller = new_abort_controller()

    def abort(event: ProgressEvent) -> None:
        if event.status == 'download':
            controller.abort()

    for source in ['bert-mini-sentence', str(BERT)]:
        with pytest.raises(EdgeflowError) as e:
            await load_model(source, on_progress=abort, signal=controller.signal)
        assert e.value.code == 'aborted'


async def test_inputs_that_are_wrong() -> None:
    model = await load_model(str(BERT / 'onnx/model.onnx'))
    ids = tensor([[1, 2, 3]], None, 'int64')
    good = {info.name: ids for info in model.inputs}
    for inputs in [{}, {**good, 'extra': ids}, {**good, 'input_ids': tensor([[1.0]])}, {**good, 'input_ids': tensor([1], None, 'int64')},
                   {**good, 'input_ids': [[1, 2, 3]]}]:
        with pytest.raises(EdgeflowError) as e:
            await model.run(inputs)
        assert e.value.code == 'invalid-input'
    with pytest.raises(EdgeflowError) as e:
        await model.run([ids])
    assert e.value.code == 'invalid-argument'
    ids.dispose()
    with pytest.raises(EdgeflowError) as e:
        await model.run(good)
    assert e.value.code == 'disposed'
    model.dispose()
    with pytest.raises(EdgeflowError) as e:
        await model.run(good)
    assert e.value.code == 'disposed'


async def test_no_wasm(tmp_path: Path) -> None:
    env.wasm_location = str(tmp_path)
    try:
        with pytest.raises(EdgeflowError, match='edgeflow-') as e:
            await load_model(str(BERT / 'onnx/model.onnx'))
        assert e.value.code == 'file-missing'
    finally:
        env.wasm_location = None
