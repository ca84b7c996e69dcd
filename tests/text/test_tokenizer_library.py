"""Special tokens, truncation, padding and offsets against the Rust library doing all of it by itself."""

from __future__ import annotations

import functools
import json

import pytest
import tokenizers
from hypothesis import given, strategies as st

from edgeflow.text.tokenizer import Tokenizer, read_tokenizer
from tests.text.tokenizer_cases import MODELS, NAMES

ROBERTA = {'type': 'RobertaProcessing', 'sep': ['</s>', 2], 'cls': ['<s>', 0], 'trim_offsets': True, 'add_prefix_space': False}
BERT = {'type': 'BertProcessing', 'sep': ['</s>', 2], 'cls': ['<s>', 0]}
TEXTS = st.lists(st.sampled_from(['a', 'The', 'quick ', '  brown', 'fox', '.', 'é', '東京', '<s>', '[SEP]', '😀']), max_size=8)


@functools.cache
def both(name: str, processor: str) -> tuple[Tokenizer, tokenizers.Tokenizer]:
    """Our tokenizer and the library's for one model; processor: JSON that replaces the model's own, or ''."""
    content = json.loads((MODELS / name / 'tokenizer.json').read_text())
    if processor:
        content['post_processor'] = json.loads(processor)
    config = json.loads((MODELS / name / 'tokenizer_config.json').read_text())
    config.setdefault('pad_token', content['added_tokens'][0]['content'])
    text = json.dumps(content)
    return read_tokenizer(memoryview(text.encode()), memoryview(json.dumps(config).encode())), tokenizers.Tokenizer.from_str(text)


@pytest.mark.parametrize('name, processor', [(name, '') for name in NAMES] + [
    ('xlm-roberta-mini', json.dumps(ROBERTA)), ('gpt2-mini', json.dumps(ROBERTA)), ('gpt2-mini', json.dumps(BERT)),
])
@given(first=st.lists(TEXTS, min_size=1, max_size=3), second=st.none() | TEXTS, room=st.integers(0, 12),
       strategy=st.sampled_from(['longest_first', None]), side=st.sampled_from(['left', 'right']),
       special=st.booleans())
def test_rows_are_those_of_the_library(
    name: str, processor: str, first: list[list[str]], second: list[str] | None, room: int, strategy: str | None,
    side: str, special: bool,
) -> None:
    ours, theirs = both(name, processor)
    texts = [' '.join(words) for words in first]
    pairs = None if second is None else [' '.join(second)] * len(texts)
    limit = room + theirs.num_special_tokens_to_add(pairs is not None)
    ours.padding_side = ours.truncation_side = side
    theirs.no_truncation()
    if strategy is not None:
        theirs.enable_truncation(limit, strategy=strategy, direction=side)
    theirs.enable_padding(direction=side, pad_id=ours.pad_id, pad_token=ours.pad_token)
    if not special:
        limit = room
        if strategy is not None:
            theirs.enable_truncation(limit, strategy=strategy, direction=side)
    got = ours.encode(
        texts, pairs, padding=True, truncation=strategy or False, max_length=limit, add_special_tokens=special,
        return_offsets=True)
    batch = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
    wanted = theirs.encode_batch(batch, add_special_tokens=special)
    assert got.input_ids == [row.ids for row in wanted]
    assert got.attention_mask == [row.attention_mask for row in wanted]
    assert got.token_type_ids == [row.type_ids for row in wanted]
    assert got.offsets == [row.offsets for row in wanted]
