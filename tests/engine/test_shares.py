"""Runs of real text encoders, divided between two machines: the helper's results are the leader's to the bit, and onnxruntime's."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest

from edgeflow.backends.contract import Feed
from edgeflow.backends.wasm.crew import Link
from edgeflow.backends.wasm.executable import WasmExecutable
from edgeflow.backends.wasm.helper import Helper
from edgeflow.host.platform import new_channel, open_port
from edgeflow.plan.planner import Draft
from edgeflow.runtime.loading import open_files
from edgeflow.runtime.opening import MODEL, ModelFiles
from tests.engine.cases import MODELS, assert_close
from tests.engine.minilm import folder

PATHS = [
    'bert-mini-sentence/onnx/model.onnx', 'bert-mini-sentence/onnx/model_fp16.onnx', 'distilbert-sst2-mini/onnx/model.onnx',
    'xlm-roberta-mini/onnx/model.onnx',
]


def feeds_of(inputs: list[str], batch: int, length: int) -> dict[str, Feed]:
    rng = np.random.default_rng(3)
    mask = np.ones((batch, length), np.int64)
    mask[0, length // 2:] = 0
    values = {
        'input_ids': rng.integers(5, 300, (batch, length)), 'attention_mask': mask, 'token_type_ids': np.zeros((batch, length), np.int64),
    }
    return {name: Feed('int64', [batch, length], values[name].reshape(-1)) for name in inputs}


async def compare(path: str, variant: str, batch: int, length: int) -> str:
    file = MODELS / path
    files = ModelFiles()
    files.receive(MODEL, 0, memoryview(bytearray(file.read_bytes())))
    for other in file.parent.glob(file.name + '_data*'):
        files.receive(other.name, 0, memoryview(bytearray(other.read_bytes())))
    opened = await open_files(files, 'wasm', lambda: False, 2)
    executable = opened.executable
    assert isinstance(executable, WasmExecutable)
    feeds = feeds_of([info.name for info in opened.inputs], batch, length)
    names = [info.name for info in opened.outputs]
    alone = await executable.run(feeds, names)
    ends = new_channel()
    links = [Link(open_port(ends[0]))]
    helper = Helper(open_port(ends[1]), lambda: False)
    executable.lend(links)
    helped = await executable.run(feeds, names)
    assert helper.models() == 1
    session = onnxruntime.InferenceSession(str(file), providers=['CPUExecutionProvider'])
    expected = session.run(names, {name: feed.data.reshape(feed.shape) for name, feed in feeds.items()})
    for name, array in zip(names, expected, strict=True):
        np.testing.assert_array_equal(helped[name].data, alone[name].data)
        assert_close(variant, np.asarray(helped[name].data).reshape(array.shape), array)
    assert executable.divisible()
    check_apart(next(iter(executable._plans.values())).draft)
    return await executable.describe_plan({name: feed.shape for name, feed in feeds.items()}, names)


def check_apart(draft: Draft) -> None:
    """Shares may run in one memory: what one of them writes, and its scratch memory, no other has."""
    kernels = [step.kernel for step in draft.steps()]
    assert kernels.count('gemm_parts_f32') == len(draft.stretches) and 'gemm_rows_f32' not in kernels, 'alone, nothing is divided but the sums'
    steps = draft.steps() + [step for group in draft.divided for step in group.steps]
    for stretch in draft.stretches:
        parts = [steps[stretch.start:stretch.shares[0].first]] + [share.steps for share in stretch.shares]
        scratches = [word.value.root().number for part in parts for step in part if step.kernel == 'sdpa_f32' for word in step.words[-1:]]
        results = [part[-1].words[2].value.root().number for part in parts]
        assert len(set(scratches)) == len(scratches) and len(set(results)) == len(results)


@pytest.mark.parametrize('path', PATHS)
async def test_encoders_are_divided_and_stay_right(path: str) -> None:
    plan = await compare(path, 'fp16' if 'fp16' in path else 'fp32', 24, 64)
    layers = json.loads((MODELS / path.split('/')[0] / 'config.json').read_text())
    # Only the feed-forward layers: the heads are 12 wide, no whole panels of 8.
    assert plan.count('can be shared') == (layers.get('num_hidden_layers') or layers['n_layers'])


async def test_minilm_in_its_real_size() -> None:
    plan = await compare(str(folder() / 'onnx' / 'model.onnx'), 'fp32', 2, 17)
    assert plan.count('can be shared') == 12
