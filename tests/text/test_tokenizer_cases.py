"""Every cases/tokenizer.json of tests/models, by the tokenizer in CPython."""

from __future__ import annotations

import pytest

from edgeflow.text.tokenizer import Tokenizer, read_tokenizer
from tests.text.tokenizer_cases import MODELS, NAMES, cases


def tokenizer_of(name: str) -> Tokenizer:
    folder = MODELS / name
    config = folder / 'tokenizer_config.json'
    return read_tokenizer(
        memoryview((folder / 'tokenizer.json').read_bytes()), memoryview(config.read_bytes()))


@pytest.mark.parametrize('name', NAMES)
def test_reproduces_the_recorded_cases(name: str) -> None:
    tokenizer = tokenizer_of(name)
    wrong = []
    count = 0
    for case in cases(name):
        count += 1
        if case.method == 'decode':
            got = tokenizer.decode(*case.arguments, **case.options)
        else:
            encoded = tokenizer.encode(*case.arguments, **case.options)
            got = {field: getattr(encoded, field) for field in case.expected}
        if got != case.expected:
            wrong.append((case.what, got, case.expected))
    assert wrong == []
    assert count >= 38
