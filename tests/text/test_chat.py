"""Every cases/chat.json of tests/models, in CPython; and what jinja2's sandbox is there for."""

from __future__ import annotations

import json

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.text.chat import chat_text
from edgeflow.text.tokenizer import Tokenizer
from tests.text.test_tokenizer_cases import tokenizer_of
from tests.text.tokenizer_cases import MODELS

CHATTING = sorted(path.parent.parent.name for path in MODELS.glob('*/cases/chat.json'))


def chatting(name: str) -> Tokenizer:
    """The tokenizer of a model, with the template that may be in a file of its own."""
    tokenizer = tokenizer_of(name)
    file = MODELS / name / 'chat_template.jinja'
    if file.exists():
        tokenizer.chat_template = file.read_text()
    return tokenizer


def test_there_are_chats() -> None:
    assert len(CHATTING) >= 5


@pytest.mark.parametrize('name', CHATTING)
async def test_reproduces_the_recorded_chats(name: str) -> None:
    tokenizer = chatting(name)
    for case in json.loads((MODELS / name / 'cases' / 'chat.json').read_text()):
        text = await chat_text(tokenizer, case['messages'], add_generation_prompt=case['add_generation_prompt'])
        assert text == case['text']
        assert tokenizer.encode([text], add_special_tokens=False).input_ids == [case['ids']]


async def test_a_template_cannot_reach_python() -> None:
    with pytest.raises(EdgeflowError) as caught:
        await chat_text(chatting(CHATTING[0]), [{'role': 'user'}], chat_template="{{ ''.__class__.__mro__ }}")
    assert caught.value.code == 'invalid-argument'
