"""Names and addresses of model files, as Hugging Face lays them out."""

from __future__ import annotations

import pytest

from edgeflow.env import Env, env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import to_dict
from edgeflow.store.hub import (
    check_id, choose_dtype, expected_external_files, find_repository, is_path, onnx_file, remote_base, sibling,
)
from edgeflow.store.progress import Progress


def test_onnx_files() -> None:
    assert onnx_file('model', 'fp32') == 'onnx/model.onnx'
    assert onnx_file('model', 'q8') == 'onnx/model_quantized.onnx'
    assert onnx_file('model', 'q4f16') == 'onnx/model_q4f16.onnx'
    assert onnx_file('encoder_model', 'fp16', '') == 'encoder_model_fp16.onnx'
    assert onnx_file('model', 'bnb4', 'weights/') == 'weights/model_bnb4.onnx'


def test_auto_is_fp32_unless_the_config_says_more() -> None:
    assert choose_dtype('auto', {}, 'model', 'auto') == 'fp32'
    assert choose_dtype('auto', {'transformers.js_config': None}, 'model', 'auto') == 'fp32'
    config: dict[str, object] = {'transformers.js_config': {'dtype': 'q8'}}
    assert choose_dtype('auto', config, 'model', 'auto') == 'q8'
    assert choose_dtype('fp16', config, 'model', 'auto') == 'fp16'
    each: dict[str, object] = {'transformers.js_config': {'dtype': {'encoder_model': 'fp16', 'decoder_model': 'q4'}}}
    assert choose_dtype('auto', each, 'decoder_model', 'auto') == 'q4'
    assert choose_dtype('auto', each, 'model', 'auto') == 'fp32'
    device: dict[str, object] = {'transformers.js_config': {'dtype': 'q8', 'device_config': {'wasm': {'dtype': 'q4'}}}}
    assert choose_dtype('auto', device, 'model', 'auto') == 'q4'
    assert choose_dtype('auto', device, 'model', 'webgpu') == 'q8'


def test_unknown_dtypes() -> None:
    with pytest.raises(EdgeflowError) as e:
        choose_dtype('fp23', {}, 'model', 'auto')
    assert e.value.code == 'invalid-argument'
    assert "did you mean 'fp32'" in e.value.message
    with pytest.raises(EdgeflowError) as e:
        choose_dtype('auto', {'transformers.js_config': {'dtype': 'q99'}}, 'model', 'auto')
    assert 'transformers.js_config' in e.value.message


def test_expected_external_files() -> None:
    def expected(wish: object) -> list[str]:
        return expected_external_files({'transformers.js_config': {'use_external_data_format': wish}}, 'onnx/model_q4.onnx')

    assert expected(True) == ['model_q4.onnx_data']
    assert expected(False) == []
    assert expected(2) == ['model_q4.onnx_data', 'model_q4.onnx_data_1']
    assert expected({'model_q4.onnx': 1}) == ['model_q4.onnx_data']
    assert expected({'model_q4': True}) == ['model_q4.onnx_data']
    assert expected({'model.onnx': True}) == []
    assert expected('yes') == []
    assert len(expected(10**9)) == 100
    assert expected_external_files({}, 'onnx/model.onnx') == []


@pytest.mark.parametrize('source', ['/models/bert', './bert', '../bert', 'a/b/c', 'C:\\models\\bert', 'file:///m/bert', '.'])
def test_paths(source: str) -> None:
    assert is_path(source)


@pytest.mark.parametrize('source', ['bert', 'org/bert', 'Org-1/all-MiniLM_L6.v2'])
def test_ids(source: str) -> None:
    assert not is_path(source)
    check_id(source)


@pytest.mark.parametrize('source', ['', 'org/..', 'a b', 'org/', 'org/x?y', 'ü', 'org/x#y'])
def test_bad_ids(source: str) -> None:
    with pytest.raises(EdgeflowError) as e:
        check_id(source)
    assert e.value.code == 'invalid-argument'


def test_remote_addresses() -> None:
    assert remote_base('org/m', 'main') == 'https://huggingface.co/org/m/resolve/main/'
    assert remote_base('org/m', 'refs/pr/1') == 'https://huggingface.co/org/m/resolve/refs%2Fpr%2F1/'


def test_env_defaults() -> None:
    plain = Env()
    assert plain.remote_host == 'https://huggingface.co/'
    assert plain.local_model_path is None
    assert plain.allow_remote_models
    assert plain.allow_local_models
    assert plain.wasm_location is None
    assert to_dict(plain.default_models) == {}
    assert env.remote_host == plain.remote_host


async def test_repositories() -> None:
    progress = Progress(None)
    assert (await find_repository('https://x.org/m', 'main', progress, None)).base == 'https://x.org/m/'
    assert (await find_repository('./m/', 'main', progress, None)).base == './m/'
    found = await find_repository('org/m', 'v1', progress, None)
    assert found.address('onnx/model.onnx') == 'https://huggingface.co/org/m/resolve/v1/onnx/model.onnx'


async def test_switched_off_hub() -> None:
    env.allow_remote_models = False
    try:
        with pytest.raises(EdgeflowError) as e:
            await find_repository('org/m', 'main', Progress(None), None)
        assert e.value.code == 'file-missing'
        env.local_model_path = '/models'
        assert (await find_repository('org/m', 'main', Progress(None), None)).base == '/models/org/m/'
    finally:
        env.allow_remote_models = True
        env.local_model_path = None


def test_siblings() -> None:
    assert sibling('https://x.org/a/model.onnx', 'model.onnx_data') == 'https://x.org/a/model.onnx_data'
    assert sibling('https://x.org/a/model.onnx?download=true#top', 'w.bin') == 'https://x.org/a/w.bin?download=true'
    assert sibling('/a/b/model.onnx', 'sub/w.bin') == '/a/b/sub/w.bin'
    assert sibling('model.onnx', 'w.bin') == 'w.bin'
    assert sibling('C:\\m\\model.onnx', 'w.bin') == 'C:\\m\\w.bin'


@pytest.mark.parametrize('name', [
    '', '/etc/passwd', '../x', 'a/../../x', '..\\x', '\\\\host\\x', 'C:\\x', 'https://evil.org/x', 'x?y', 'x#y',
    '%2e%2e/x', '.\t./x',
])
def test_locations_that_leave_the_folder(name: str) -> None:
    with pytest.raises(EdgeflowError) as e:
        sibling('https://x.org/a/model.onnx', name)
    assert e.value.code == 'invalid-model'
