"""The recorded cases of tests/text/test_pipelines_recorded.py with the built library in Chromium, its models in workers."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page

from tests.text.test_pipelines_recorded import CASES, same

RUN = """async ({ task, model, arguments: given, options }) => {
  const { pipeline } = await import('/dist/edgeflow.js');
  const pipe = await pipeline(task, `${location.origin}/models/${model}`);
  const answer = await pipe(...given, options);
  pipe.dispose();
  return JSON.parse(JSON.stringify(answer));
}"""


def camel(name: str) -> str:
    return re.sub('_([a-z])', lambda found: found[1].upper(), name)


def as_in_js(value: object, text: str) -> object:
    """An expected answer with camelCase keys and positions in UTF-16 units of the text."""
    if isinstance(value, list):
        return [as_in_js(item, text) for item in value]
    if not isinstance(value, dict):
        return value
    units = {key: len(text[:place].encode('utf-16-le')) // 2 for key in ('start', 'end') if isinstance(place := value.get(key), int)}
    return {camel(key): units.get(key, item) for key, item in value.items()}


@pytest.mark.parametrize('case', CASES, ids=[f'{case["task"]}-{i}' for i, case in enumerate(CASES)])
def test_answers_as_transformers_does(page: Page, case: dict) -> None:
    options = {camel(key): value for key, value in case['options'].items()}
    got = page.evaluate(RUN, {**case, 'options': options})
    texts = case['arguments'][-1] if case['task'] == 'question-answering' else case['arguments'][0]
    expected = case['expected']
    if isinstance(texts, list) and case['task'] in ('question-answering', 'token-classification'):
        expected = [as_in_js(item, text) for item, text in zip(expected, texts, strict=True)]
    else:
        expected = as_in_js(expected, texts if isinstance(texts, str) else '')
    same(got, expected)
