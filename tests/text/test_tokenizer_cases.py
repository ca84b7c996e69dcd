"""Every cases/tokenizer.json of tests/models, by the tokenizer in CPython."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from edgeflow.text.tokenizer import Tokenizer, read_tokenizer
from tests.text.tokenizer_cases import MODELS, NAMES, Case, cases, wrong_answers


def tokenizer_of(name: str) -> Tokenizer:
    folder = MODELS / name
    return read_tokenizer(
        memoryview((folder / 'tokenizer.json').read_bytes()), memoryview((folder / 'tokenizer_config.json').read_bytes()))


def answer(tokenizer: Tokenizer, case: Case) -> object:
    if case.method == 'decode':
        return tokenizer.decode(*case.arguments, **case.options)
    return asdict(tokenizer.encode(*case.arguments, **case.options))


@pytest.mark.parametrize('name', NAMES)
def test_reproduces_the_recorded_cases(name: str) -> None:
    tokenizer = tokenizer_of(name)
    answers = [answer(tokenizer, case) for case in cases(name)]
    assert len(answers) >= 38
    assert wrong_answers(name, answers) == []


def test_the_comparison_sees_a_wrong_answer() -> None:
    name = 'bert-mini-sentence'
    tokenizer = tokenizer_of(name)
    answers = [answer(tokenizer, case) for case in cases(name)]
    answers[0] = asdict(tokenizer.encode(['something else']))
    assert [what for what, _, _ in wrong_answers(name, answers)] == ["encode 'Hello world!'"]
