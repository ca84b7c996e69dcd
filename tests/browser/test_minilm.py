"""all-MiniLM-L6-v2 in Chromium, against onnxruntime on the same files."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Page

from tests.engine.minilm import SHORT_TEXTS, TEXTS, embeddings, folder, reference
from tests.engine.test_minilm import TOLERANCE, TOLERANCE_INT8

EMBED = """async ([dtype, texts]) => {
  const { pipeline } = await import('/dist/edgeflow.js');
  const extractor = await pipeline('feature-extraction', new URL('/examples/minilm/', location.href).href, { dtype });
  try {
    const batch = await extractor(texts, { pooling: 'mean', normalize: true });
    const alone = await extractor.run(texts[0], { pooling: 'mean', normalize: true });
    return { shape: batch.shape, dtype: batch.dtype, rows: batch.tolist(), alone: alone.tolist(), type: batch.data.constructor.name };
  } finally {
    extractor.dispose();
  }
}"""


@pytest.mark.parametrize('dtype, file, texts, tolerance', [
    ('fp32', 'model.onnx', TEXTS, TOLERANCE), ('q8', 'model_quantized.onnx', SHORT_TEXTS, TOLERANCE_INT8),
])
def test_embeddings_are_those_of_onnxruntime(page: Page, dtype: str, file: str, texts: list[str], tolerance: float) -> None:
    folder()
    got = page.evaluate(EMBED, [dtype, texts])
    assert got['shape'] == [len(texts), 384]
    assert (got['dtype'], got['type']) == ('float32', 'Float32Array')
    np.testing.assert_allclose(np.array(got['rows']), embeddings(*reference(texts, file)), rtol=0, atol=tolerance)
    np.testing.assert_allclose(np.array(got['alone']), embeddings(*reference(texts[:1], file)), rtol=0, atol=tolerance)
