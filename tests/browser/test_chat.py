"""Every cases/chat.json of tests/models in Chromium, whose template engine is a file that is fetched when it is needed."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page

from tests.text.test_chat import CHATTING
from tests.text.tokenizer_cases import MODELS
from toolchain.build import build_tests

RUN = """async ([name, cases]) => {
  const { readTokenizer } = await import('/js/edgeflow/text/tokenizer.js');
  const { chatText } = await import('/js/edgeflow/text/chat.js');
  const bytes = async path => new Uint8Array(await (await fetch(path)).arrayBuffer());
  const tokenizer = readTokenizer(await bytes(`/models/${name}/tokenizer.json`), await bytes(`/models/${name}/tokenizer_config.json`));
  const file = await fetch(`/models/${name}/chat_template.jinja`);
  if (file.ok) tokenizer.chatTemplate = await file.text();
  const fetched = () => performance.getEntriesByType('resource').filter(entry => entry.name.endsWith('edgeflow-jinja.js')).length;
  const before = fetched();
  const answers = [];
  for (const { messages, add_generation_prompt: addGenerationPrompt } of cases) {
    const text = await chatText(tokenizer, messages, { addGenerationPrompt });
    answers.push([text, tokenizer.encode([text], null, { addSpecialTokens: false }).inputIds[0]]);
  }
  return { answers, before, after: fetched() };
}"""


@pytest.mark.parametrize('name', CHATTING)
def test_reproduces_the_recorded_chats(page: Page, name: str) -> None:
    build_tests()
    cases = json.loads((MODELS / name / 'cases' / 'chat.json').read_text())
    found = page.evaluate(RUN, [name, cases])
    assert found['answers'] == [[case['text'], case['ids']] for case in cases]
    assert (found['before'], found['after']) == (0, 1)
