"""Real model repositories over HTTP and from disk: which files are asked for, and when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.runtime.opening import MODEL, ModelFiles
from edgeflow.store.hub import find_repository
from edgeflow.store.model_files import load_config, load_model_files, load_onnx, parse_config
from edgeflow.store.progress import Progress, ProgressEvent
from tests.host.server import Server, serving

MODELS = Path(__file__).resolve().parents[1] / 'models'
ROBERTA = MODELS / 'xlm-roberta-mini'


def content(files: ModelFiles, location: str) -> bytes:
    return b''.join(files.pieces(location).parts)


@pytest.fixture
def hub() -> Iterator[Server]:
    """The test models, served as a hub whose path template is '{model}/'."""
    with serving(MODELS) as running:
        env.remote_host, env.remote_path_template = running.address, '{model}/'
        yield running
        env.remote_host, env.remote_path_template = 'https://huggingface.co/', '{model}/resolve/{revision}/'


@pytest.mark.parametrize('over', ['http', 'disk'])
async def test_external_data_is_loaded_beside_the_model(hub: Server, over: str) -> None:
    heard: list[ProgressEvent] = []
    progress = Progress(heard.append)
    source = 'xlm-roberta-mini' if over == 'http' else str(ROBERTA)
    repository = await find_repository(source, 'main', progress, None)
    config = await load_config(repository, progress, None)
    files = ModelFiles()
    await load_onnx(repository, config, 'model', 'auto', 'auto', 'onnx', files, progress, None)
    assert content(files, MODEL) == (ROBERTA / 'onnx/model.onnx').read_bytes()
    assert content(files, 'model.onnx_data') == (ROBERTA / 'onnx/model.onnx_data').read_bytes()
    initiated = [event.file for event in heard if event.status == 'initiate']
    assert initiated == ['config.json', 'onnx/model.onnx', 'onnx/model.onnx_data']
    assert sorted(hub.requests) == (sorted(f'/xlm-roberta-mini/{name}' for name in initiated) if over == 'http' else [])
    size = sum((ROBERTA / name).stat().st_size for name in initiated)
    assert heard[-1].loaded_all == heard[-1].total_all == size


async def test_external_data_that_no_config_announces(hub: Server) -> None:
    files = ModelFiles()
    await load_model_files(f'{hub.address}/xlm-roberta-mini/onnx/model.onnx', 'model.onnx', [], files, Progress(None), None)
    assert content(files, 'model.onnx_data')


async def test_announced_files_that_are_not_there(hub: Server) -> None:
    address = f'{hub.address}/bert-mini-sentence/onnx/model.onnx'
    files = ModelFiles()
    await load_model_files(address, 'model.onnx', ['model.onnx_data'], files, Progress(None), None)
    with pytest.raises(EdgeflowError) as e:
        files.pieces('model.onnx_data')
    assert e.value.code == 'file-missing'


async def test_external_data_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / 'model.onnx').write_bytes((ROBERTA / 'onnx/model.onnx').read_bytes())
    with pytest.raises(EdgeflowError) as e:
        await load_model_files(str(tmp_path / 'model.onnx'), 'model.onnx', [], ModelFiles(), Progress(None), None)
    assert e.value.code == 'file-missing'
    assert str(tmp_path / 'model.onnx_data') in e.value.message


async def test_dtypes_choose_files(hub: Server) -> None:
    progress = Progress(None)
    repository = await find_repository('bert-mini-sentence', 'main', progress, None)
    for dtype, name in [('q8', 'model_quantized'), ('fp16', 'model_fp16')]:
        files = ModelFiles()
        await load_onnx(repository, {}, 'model', dtype, 'auto', 'onnx', files, progress, None)
        assert files.size == (MODELS / f'bert-mini-sentence/onnx/{name}.onnx').stat().st_size
    with pytest.raises(EdgeflowError) as e:
        await load_onnx(repository, {}, 'model', 'int8', 'auto', 'onnx', ModelFiles(), progress, None)
    assert e.value.code == 'file-missing'


async def test_local_models_go_first(hub: Server, tmp_path: Path) -> None:
    env.local_model_path = str(MODELS)
    try:
        assert (await find_repository('gpt2-mini', 'main', Progress(None), None)).base == f'{MODELS}/gpt2-mini/'
        assert (await find_repository('org/none', 'main', Progress(None), None)).base == f'{hub.address}/org/none/'
        env.allow_local_models = False
        assert (await find_repository('gpt2-mini', 'main', Progress(None), None)).base == f'{hub.address}/gpt2-mini/'
    finally:
        env.local_model_path = None
        env.allow_local_models = True


async def test_no_config(hub: Server) -> None:
    repository = await find_repository('no-such-model', 'main', Progress(None), None)
    assert await load_config(repository, Progress(None), None) == {}


@pytest.mark.parametrize('text', [b'', b'{', b'[1]', b'\xff', b'"x"', b'null'])
def test_config_that_is_no_object(text: bytes) -> None:
    with pytest.raises(EdgeflowError) as e:
        parse_config(memoryview(text), 'https://x.org/config.json')
    assert e.value.code == 'invalid-model'
    assert 'https://x.org/config.json' in e.value.message
