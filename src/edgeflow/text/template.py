"""Where the special tokens go: the post-processor of a tokenizer.json as two templates, for one text and for a pair.

The kinds are those of the Rust library (tokenizers/src/processors): TemplateProcessing, BertProcessing,
RobertaProcessing, ByteLevel (which adds nothing) and Sequence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from edgeflow.errors import EdgeflowError


@dataclass(frozen=True)
class Piece:
    """One part of a template: the ids of the first text (source 'A'), of the second ('B'), or special ids ('')."""

    source: str
    type_id: int
    ids: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Template:
    """The pieces for one text, and for a pair of texts."""

    single: list[Piece]
    pair: list[Piece]


def read_template(processor: dict[str, object] | None) -> Template:
    """The template of the `post_processor` entry of a tokenizer.json; raises EdgeflowError 'invalid-tokenizer'."""
    plain = Template([Piece('A', 0)], [Piece('A', 0), Piece('B', 1)])
    if processor is None:
        return plain
    kind = str(processor.get('type'))
    if kind == 'ByteLevel':
        return plain
    if kind == 'TemplateProcessing':
        special = cast('dict[str, dict[str, object]]', processor['special_tokens'])
        return Template(
            read_pieces(cast('list[dict[str, dict[str, object]]]', processor['single']), special),
            read_pieces(cast('list[dict[str, dict[str, object]]]', processor['pair']), special),
        )
    if kind == 'BertProcessing':
        first, last = framing_ids(processor)
        return Template(
            [Piece('', 0, [first]), Piece('A', 0), Piece('', 0, [last])],
            [Piece('', 0, [first]), Piece('A', 0), Piece('', 0, [last]), Piece('B', 1), Piece('', 1, [last])],
        )
    if kind == 'RobertaProcessing':
        first, last = framing_ids(processor)
        return Template(
            [Piece('', 0, [first]), Piece('A', 0), Piece('', 0, [last])],
            [Piece('', 0, [first]), Piece('A', 0), Piece('', 0, [last, last]), Piece('B', 0), Piece('', 0, [last])],
        )
    if kind == 'Sequence':
        return read_sequence(cast('list[dict[str, object]]', processor['processors']), plain)
    raise EdgeflowError('invalid-tokenizer', f'tokenizer.json: unknown post-processor "{kind}"', {'kind': kind})


def read_sequence(processors: list[dict[str, object]], plain: Template) -> Template:
    """Of a sequence, the one processor that adds tokens; two of them would nest, which no known model has."""
    adding = [processor for processor in processors if processor.get('type') != 'ByteLevel']
    if len(adding) == 0:
        return plain
    if len(adding) > 1:
        kinds = ', '.join([str(processor.get('type')) for processor in adding])
        raise EdgeflowError(
            'invalid-tokenizer', f'tokenizer.json: expected one post-processor that adds tokens, got {kinds}', {})
    return read_template(adding[0])


def read_pieces(items: list[dict[str, dict[str, object]]], special: dict[str, dict[str, object]]) -> list[Piece]:
    """The pieces of one TemplateProcessing list."""
    pieces: list[Piece] = []
    for item in items:
        if 'Sequence' in item:
            sequence = item['Sequence']
            pieces.append(Piece(str(sequence['id']), cast(int, sequence['type_id'])))
        else:
            token = item['SpecialToken']
            name = str(token['id'])
            if name not in special:
                raise EdgeflowError(
                    'invalid-tokenizer', f'tokenizer.json: the template names "{name}", which "special_tokens" lacks', {})
            pieces.append(Piece('', cast(int, token['type_id']), cast('list[int]', special[name]['ids'])))
    return pieces


def framing_ids(processor: dict[str, object]) -> tuple[int, int]:
    """The ids of `cls` and `sep` of a Bert or Roberta processor, each written as [token, id]."""
    first = cast('list[object]', processor['cls'])
    last = cast('list[object]', processor['sep'])
    return cast(int, first[1]), cast(int, last[1])


def special_count(pieces: list[Piece]) -> int:
    """How many special tokens the template adds."""
    count = 0
    for piece in pieces:
        count = count + len(piece.ids)
    return count
