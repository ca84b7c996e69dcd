"""all-MiniLM-L6-v2 in CPython through wasmtime, against onnxruntime on the same files."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from edgeflow import EdgeflowError, load_model, tensor
from edgeflow.host.platform import new_abort_controller
from edgeflow.pipelines.pipeline import pipeline
from tests.engine.minilm import SHORT_TEXTS, TEXTS, embeddings, folder, reference

TOLERANCE = 1e-4
# One activation rounded the other way shifts a vector of length 1 by about a step of the quantization.
TOLERANCE_INT8 = 2e-2


def test_the_exported_model_is_the_published_one() -> None:
    """The similarities that the model's authors print (sbert.net, quick start), and the first numbers of their example."""
    vectors = embeddings(*reference(TEXTS[:3], 'model.onnx'))
    similarity = vectors @ vectors.T
    np.testing.assert_allclose(
        similarity, [[1, 0.6660, 0.1046], [0.6660, 1, 0.1411], [0.1046, 0.1411, 1]], atol=1e-4)
    first = embeddings(*reference(['This is an example sentence'], 'model.onnx'))
    np.testing.assert_allclose(first[0, :3], [0.0676569, 0.0634959, 0.0487131], atol=1e-6)


@pytest.mark.parametrize('dtype, file, texts, tolerance', [
    ('fp32', 'model.onnx', TEXTS, TOLERANCE), ('q8', 'model_quantized.onnx', SHORT_TEXTS, TOLERANCE_INT8),
])
async def test_embeddings_are_those_of_onnxruntime(dtype: str, file: str, texts: list[str], tolerance: float) -> None:
    extractor = await pipeline('feature-extraction', str(folder()), dtype=dtype)
    try:
        batch = await extractor(texts, pooling='mean', normalize=True)
        assert batch.shape == [len(texts), 384]
        assert batch.dtype == 'float32'
        expected = embeddings(*reference(texts, file))
        np.testing.assert_allclose(np.array(batch.tolist()), expected, rtol=0, atol=tolerance)
        for text in texts[:5]:
            alone = await extractor.run(text, pooling='mean', normalize=True)
            assert alone.shape == [1, 384]
            np.testing.assert_allclose(
                np.array(alone.tolist()), embeddings(*reference([text], file)), rtol=0, atol=tolerance)
    finally:
        extractor.dispose()


async def test_hidden_states_and_cls_are_those_of_onnxruntime() -> None:
    extractor = await pipeline('feature-extraction', str(folder()), dtype='fp32')
    try:
        hidden, mask = reference(TEXTS[:4], 'model.onnx')
        every = await extractor(TEXTS[:4])
        assert every.shape == list(hidden.shape)
        got = np.array(every.data).reshape(hidden.shape)
        np.testing.assert_allclose(got[mask == 1], hidden[mask == 1], rtol=1e-3, atol=1e-4)
        first = await extractor(TEXTS[:4], pooling='cls')
        np.testing.assert_allclose(np.array(first.tolist()), hidden[:, 0], rtol=1e-3, atol=1e-4)
    finally:
        extractor.dispose()


async def test_a_run_is_cancelled_between_its_steps() -> None:
    model = await load_model(str(folder() / 'onnx' / 'model_quantized.onnx'))
    inputs = {info.name: tensor(np.ones((16, 64), np.int64)) for info in model.inputs}
    controller = new_abort_controller()
    try:
        running = asyncio.ensure_future(model.run(inputs, signal=controller.signal))
        await asyncio.sleep(0.05)
        assert not running.done()
        controller.abort()
        with pytest.raises(EdgeflowError) as e:
            await running
        assert e.value.code == 'aborted'
        again = await model.run({name: tensor(np.ones((1, 4), np.int64)) for name in model.input_names()})
        assert again['last_hidden_state'].shape == [1, 4, 384]
    finally:
        model.dispose()
