"""Batches of texts to ids and back, on a small WordPiece tokenizer."""

from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import json_text, utf8_encode
from edgeflow.text.tokenizer import Tokenizer, read_tokenizer, usable_positions

WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'good', 'day', 'to', 'you', 'bye', '##s', '.']
PAD, CLS, SEP, GOOD, DAY, TO, YOU, BYE, PLURAL = 0, 2, 3, 4, 5, 6, 7, 8, 9


def special(token: str, index: int) -> dict[str, object]:
    return {'id': index, 'content': token, 'single_word': False, 'lstrip': False, 'rstrip': False,
            'normalized': False, 'special': True}


def tokenizer_file() -> dict[str, object]:
    vocabulary: dict[str, object] = {}
    for i in range(len(WORDS)):
        vocabulary[WORDS[i]] = i
    return {
        'version': '1.0', 'truncation': {'direction': 'Right', 'max_length': 3, 'strategy': 'LongestFirst', 'stride': 0},
        'padding': None, 'added_tokens': [special(WORDS[i], i) for i in range(4)],
        'normalizer': {'type': 'BertNormalizer', 'clean_text': True, 'handle_chinese_chars': True,
                       'strip_accents': None, 'lowercase': True},
        'pre_tokenizer': {'type': 'BertPreTokenizer'},
        'post_processor': {'type': 'BertProcessing', 'cls': ['[CLS]', CLS], 'sep': ['[SEP]', SEP]},
        'decoder': {'type': 'WordPiece', 'prefix': '##', 'cleanup': True},
        'model': {'type': 'WordPiece', 'unk_token': '[UNK]', 'continuing_subword_prefix': '##',
                  'max_input_chars_per_word': 100, 'vocab': vocabulary},
    }


def tokenizer_with(config: dict[str, object]) -> Tokenizer:
    return read_tokenizer(utf8_encode(json_text(tokenizer_file())), utf8_encode(json_text(config)))


def plain() -> Tokenizer:
    return tokenizer_with({'pad_token': '[PAD]', 'model_max_length': 6})


def test_a_text_gets_its_special_tokens_and_the_length_in_tokenizer_json_is_not_applied() -> None:
    encoded = plain().encode(['Good days to you.'])
    assert encoded.input_ids == [[CLS, GOOD, DAY, PLURAL, TO, YOU, 10, SEP]]
    assert encoded.attention_mask == [[1, 1, 1, 1, 1, 1, 1, 1]]
    assert encoded.token_type_ids == [[0, 0, 0, 0, 0, 0, 0, 0]]
    assert plain().encode(['good day'], add_special_tokens=False).input_ids == [[GOOD, DAY]]


def test_a_batch_is_padded_to_its_longest_text() -> None:
    encoded = plain().encode(['good', 'good day to', ''], padding=True)
    assert encoded.input_ids == [[CLS, GOOD, SEP, PAD, PAD], [CLS, GOOD, DAY, TO, SEP], [CLS, SEP, PAD, PAD, PAD]]
    assert encoded.attention_mask == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]


def test_padding_goes_to_the_side_that_the_config_names_and_to_a_fixed_length() -> None:
    left = tokenizer_with({'pad_token': {'content': '[PAD]'}, 'padding_side': 'left', 'pad_token_type_id': 1})
    encoded = left.encode(['good'], padding='max_length', max_length=5)
    assert encoded.input_ids == [[PAD, PAD, CLS, GOOD, SEP]]
    assert encoded.attention_mask == [[0, 0, 1, 1, 1]]
    assert encoded.token_type_ids == [[1, 1, 0, 0, 0]]


def test_texts_are_cut_to_the_models_length_or_to_the_one_given() -> None:
    tokenizer = plain()
    assert tokenizer.encode(['good day to you bye'], truncation=True).input_ids == [[CLS, GOOD, DAY, TO, YOU, SEP]]
    assert tokenizer.encode(['good day to'], truncation=True, max_length=4).input_ids == [[CLS, GOOD, DAY, SEP]]
    assert tokenizer.encode(['good day to'], truncation=True, max_length=2).input_ids == [[CLS, SEP]]
    left = tokenizer_with({'truncation_side': 'left'})
    assert left.encode(['good day to'], truncation=True, max_length=4).input_ids == [[CLS, DAY, TO, SEP]]


def test_pairs_are_joined_and_cut_together() -> None:
    tokenizer = plain()
    encoded = tokenizer.encode(['good day'], ['bye you to'])
    assert encoded.input_ids == [[CLS, GOOD, DAY, SEP, BYE, YOU, TO, SEP]]
    assert encoded.token_type_ids == [[0, 0, 0, 0, 1, 1, 1, 1]]
    assert tokenizer.encode(['good day'], ['bye you to'], truncation=True).input_ids == [[CLS, GOOD, SEP, BYE, YOU, SEP]]
    only = tokenizer.encode(['good day'], ['bye you to'], truncation='only_second', max_length=6)
    assert only.input_ids == [[CLS, GOOD, DAY, SEP, BYE, SEP]]
    assert tokenizer.encode(['good'], ['']).input_ids == [[CLS, GOOD, SEP, SEP]]


def test_ids_are_joined_to_text() -> None:
    tokenizer = plain()
    assert tokenizer.decode([CLS, GOOD, DAY, PLURAL, 10, SEP]) == '[CLS] good days. [SEP]'
    assert tokenizer.decode([CLS, GOOD, DAY, PLURAL, 10, SEP], skip_special_tokens=True) == 'good days.'
    assert tokenizer.decode([]) == ''
    assert tokenizer.decode([GOOD, 9999, DAY]) == 'good day'
    assert tokenizer.decode([CLS, SEP], skip_special_tokens=True) == ''


def test_the_length_is_capped_by_the_models_positions() -> None:
    tokenizer = tokenizer_with({'model_max_length': 1e30})
    assert tokenizer.max_length is None
    tokenizer.limit_to_model({'max_position_embeddings': 5})
    assert tokenizer.max_length == 5
    tokenizer.limit_to_model({'max_position_embeddings': 9})
    assert tokenizer.max_length == 5
    assert usable_positions({'model_type': 'roberta', 'max_position_embeddings': 514, 'pad_token_id': 1}) == 512
    assert usable_positions({'model_type': 't5'}) is None


def test_wrong_arguments_are_named() -> None:
    tokenizer = plain()
    with pytest.raises(EdgeflowError, match='padding') as padding:
        tokenizer.encode(['good'], padding='long')
    with pytest.raises(EdgeflowError, match='truncation') as truncation:
        tokenizer.encode(['good'], truncation='first')
    with pytest.raises(EdgeflowError, match='one pair for each of 2 texts, got 1') as pairs:
        tokenizer.encode(['good', 'day'], ['bye'])
    with pytest.raises(EdgeflowError, match='at least the 2 special tokens, got 1') as length:
        tokenizer.encode(['good'], truncation=True, max_length=1)
    for caught in [padding, truncation, pairs, length]:
        assert caught.value.code == 'invalid-argument'


def test_padding_without_a_pad_token_is_an_error_only_when_it_is_needed() -> None:
    tokenizer = tokenizer_with({})
    assert tokenizer.encode(['good', 'day'], padding=True).input_ids == [[CLS, GOOD, SEP], [CLS, DAY, SEP]]
    with pytest.raises(EdgeflowError, match='pad_token') as caught:
        tokenizer.encode(['good', 'good day'], padding=True)
    assert caught.value.code == 'invalid-tokenizer'


@pytest.mark.parametrize('text', ['', '{', '[]', '{"model": {}}', 'null'])
def test_a_broken_tokenizer_json_is_an_error(text: str) -> None:
    with pytest.raises(EdgeflowError) as caught:
        read_tokenizer(utf8_encode(text), None)
    assert caught.value.code == 'invalid-tokenizer'


@pytest.mark.parametrize('text', ['', '{', '[]'])
def test_a_broken_tokenizer_config_is_an_error(text: str) -> None:
    with pytest.raises(EdgeflowError, match='tokenizer_config.json') as caught:
        read_tokenizer(utf8_encode(json_text(tokenizer_file())), utf8_encode(text))
    assert caught.value.code == 'invalid-tokenizer'


def test_tokens_say_where_they_are_and_of_which_word() -> None:
    encoded = plain().encode(['Good  days, yÔu.'], return_offsets=True)
    assert encoded.offsets == [[(0, 0), (0, 4), (6, 9), (9, 10), (10, 11), (12, 15), (15, 16), (0, 0)]]
    found = plain().library.encode_text('Good  days, yÔu.', True)
    assert found.words == [0, 1, 1, 2, 3, 4]
    assert plain().encode(['good']).offsets is None
    assert plain().library.encode_text('good', False).words is None


def test_a_long_text_is_read_in_windows() -> None:
    rows = plain().windows('good day to you bye', None, max_length=5, stride=1)
    assert [row.ids for row in rows] == [[CLS, GOOD, DAY, TO, SEP], [CLS, TO, YOU, BYE, SEP]]
    assert rows[1].offsets == [(0, 0), (9, 11), (12, 15), (16, 19), (0, 0)]
    assert rows[1].sources == ['', 'A', 'A', 'A', '']
    assert rows[1].words == [-1, 2, 3, 4, -1]
    assert [row.ids for row in plain().windows('good', None, max_length=5, stride=1)] == [[CLS, GOOD, SEP]]


def test_one_text_of_a_pair_is_read_in_windows_and_the_other_is_in_each() -> None:
    over_second = plain().windows('bye', 'good day to', max_length=6, stride=0)
    assert [row.ids for row in over_second] == [[CLS, BYE, SEP, GOOD, DAY, SEP], [CLS, BYE, SEP, TO, SEP]]
    assert over_second[1].type_ids == [0, 0, 0, 1, 1]
    over_first = plain().windows('good day to', 'bye', max_length=6, stride=0, over_pair=False)
    assert [row.ids for row in over_first] == [[CLS, GOOD, DAY, SEP, BYE, SEP], [CLS, TO, SEP, BYE, SEP]]
    with pytest.raises(EdgeflowError) as e:
        plain().windows('bye', 'good day to', max_length=6, stride=2)
    assert e.value.code == 'invalid-argument'


def test_tokens_as_texts_are_joined_as_their_ids_are() -> None:
    assert plain().library.join_tokens(['day', '##s', 'Xyz']) == 'days Xyz'
    assert plain().special_ids() == {0, 1, 2, 3}
