"""Where special tokens go, by the post-processor of a tokenizer.json."""

from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.text.template import Piece, Template, read_template, special_count


def test_without_a_post_processor_texts_are_joined_and_told_apart() -> None:
    plain = Template([Piece('A', 0)], [Piece('A', 0), Piece('B', 1)])
    assert read_template(None) == plain
    assert read_template({'type': 'ByteLevel', 'trim_offsets': True}) == plain
    assert read_template({'type': 'Sequence', 'processors': []}) == plain


def test_a_template_is_read_with_the_ids_of_its_special_tokens() -> None:
    cls: dict[str, object] = {'SpecialToken': {'id': '[CLS]', 'type_id': 0}}
    sep: dict[str, object] = {'SpecialToken': {'id': '[SEP]', 'type_id': 1}}
    first: dict[str, object] = {'Sequence': {'id': 'A', 'type_id': 0}}
    second: dict[str, object] = {'Sequence': {'id': 'B', 'type_id': 1}}
    template = read_template({
        'type': 'TemplateProcessing', 'single': [cls, first], 'pair': [cls, first, second, sep],
        'special_tokens': {'[CLS]': {'id': '[CLS]', 'ids': [2]}, '[SEP]': {'id': '[SEP]', 'ids': [3, 4]}},
    })
    assert template.single == [Piece('', 0, [2]), Piece('A', 0)]
    assert template.pair == [Piece('', 0, [2]), Piece('A', 0), Piece('B', 1), Piece('', 1, [3, 4])]
    assert special_count(template.single) == 1
    assert special_count(template.pair) == 3


def test_bert_and_roberta_differ_in_the_middle_and_in_type_ids() -> None:
    bert = read_template({'type': 'BertProcessing', 'cls': ['[CLS]', 1], 'sep': ['[SEP]', 2]})
    assert bert.pair == [
        Piece('', 0, [1]), Piece('A', 0), Piece('', 0, [2]), Piece('B', 1), Piece('', 1, [2])]
    roberta = read_template({'type': 'RobertaProcessing', 'cls': ['<s>', 0], 'sep': ['</s>', 2]})
    assert roberta.pair == [
        Piece('', 0, [0]), Piece('A', 0), Piece('', 0, [2, 2]), Piece('B', 0), Piece('', 0, [2])]
    assert roberta.single == [Piece('', 0, [0]), Piece('A', 0), Piece('', 0, [2])]


def test_a_sequence_is_read_through_its_one_processor_that_adds_tokens() -> None:
    bert: dict[str, object] = {'type': 'BertProcessing', 'cls': ['[CLS]', 1], 'sep': ['[SEP]', 2]}
    byte_level: dict[str, object] = {'type': 'ByteLevel'}
    assert read_template({'type': 'Sequence', 'processors': [byte_level, bert]}) == read_template(bert)
    with pytest.raises(EdgeflowError, match='expected one post-processor') as caught:
        read_template({'type': 'Sequence', 'processors': [bert, bert]})
    assert caught.value.code == 'invalid-tokenizer'


def test_an_unknown_processor_and_a_template_with_an_unknown_token_are_errors() -> None:
    with pytest.raises(EdgeflowError, match='"Novel"') as unknown:
        read_template({'type': 'Novel'})
    assert unknown.value.code == 'invalid-tokenizer'
    with pytest.raises(EdgeflowError, match='"\\[CLS\\]"') as missing:
        read_template({
            'type': 'TemplateProcessing', 'single': [{'SpecialToken': {'id': '[CLS]', 'type_id': 0}}], 'pair': [],
            'special_tokens': {}})
    assert missing.value.code == 'invalid-tokenizer'
