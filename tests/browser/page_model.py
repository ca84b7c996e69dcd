"""Run a model in a page with numpy arrays in and out."""

from __future__ import annotations

import base64

import numpy as np
from playwright.sync_api import Page

RUN = """async ({ library, url, cases, device }) => {
  const { runModel } = await import('/run_model.js');
  return runModel(library === 'global' ? edgeflow : await import(library), url, cases, { device });
}"""


def run_in_page(page: Page, url: str, cases: list[dict[str, np.ndarray]], library: str = '/dist/edgeflow.js', device: str = 'wasm') -> list[dict[str, np.ndarray]]:
    """The outputs for each case. library: address of the ES module, or 'global' for the script tag's."""
    given = [{name: packed(array) for name, array in inputs.items()} for inputs in cases]
    answers = page.evaluate(RUN, {'library': library, 'url': url, 'cases': given, 'device': device})
    return [{name: unpacked(**record) for name, record in answer.items()} for answer in answers]


def packed(array: np.ndarray) -> dict[str, object]:
    return {'dtype': array.dtype.name, 'shape': list(array.shape), 'data': base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()}


def unpacked(dtype: str, shape: list[int], data: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(data), dtype).reshape(shape)
