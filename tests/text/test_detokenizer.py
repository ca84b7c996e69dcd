"""Token after token, the text is the one that decoding all tokens at once gives: for every tokenizer of tests/models."""

from __future__ import annotations

import pytest

from edgeflow.text.detokenizer import Detokenizer
from edgeflow.text.tokenizer import Tokenizer
from tests.text.test_tokenizer_cases import tokenizer_of
from tests.text.tokenizer_cases import NAMES, random_texts

# CTC decoders merge what is repeated; wav2vec2 does not generate.
STREAMED = [name for name in NAMES if name != 'wav2vec2-ctc-mini']


def streamed(tokenizer: Tokenizer, ids: list[int], context: list[int]) -> list[str]:
    row = Detokenizer(tokenizer, context)
    return [*[row.push(token) for token in ids], row.finish()]


@pytest.mark.parametrize('name', STREAMED)
def test_the_pieces_are_the_whole(name: str) -> None:
    tokenizer = tokenizer_of(name)
    for text in random_texts(3, 120):
        ids = tokenizer.encode([text]).input_ids[0]
        whole = tokenizer.decode(ids, skip_special_tokens=True)
        assert ''.join(streamed(tokenizer, ids, [])) == whole
        for cut in range(1, len(ids)):
            before = tokenizer.decode(ids[:cut], skip_special_tokens=True)
            if before != '' and not before.endswith('\ufffd') and whole.startswith(before):
                assert before + ''.join(streamed(tokenizer, ids[cut:], ids[:cut])) == whole


@pytest.mark.parametrize('name', ['gpt2-mini', 'gemma2-mini-genai', 't5-mini', 'bert-mini-sentence'])
def test_the_work_for_a_token_does_not_grow(name: str) -> None:
    tokenizer = tokenizer_of(name)
    ids = tokenizer.encode(['The quick brown fox jumps over the lazy dog. 😀 ' * 60], add_special_tokens=False).input_ids[0]
    longest = 0
    decode = tokenizer.decode

    def counting(tokens: list[int], *, skip_special_tokens: bool = False) -> str:
        nonlocal longest
        longest = max(longest, len(tokens))
        return decode(tokens, skip_special_tokens=skip_special_tokens)

    tokenizer.decode = counting
    streamed(tokenizer, ids, [])
    assert len(ids) > 500
    assert longest <= 12
