"""Text to token ids and back, as transformers' fast tokenizers do it.

The library under it (PyPI `tokenizers` in CPython, npm `@huggingface/tokenizers` in JS) splits text into ids and joins
ids to text; special tokens, truncation and padding are done here, so they are the same on both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import json_parse, utf8_decode
from edgeflow.host.port import Bytes, TokenizedText, TokenizerLibrary
from edgeflow.host.text import load_tokenizer
from edgeflow.text.template import Piece, Template, read_template, special_count
from edgeflow.text.truncation import STRATEGIES, kept_lengths

LARGEST_LENGTH = 1000000
PADDINGS: list[str] = ['longest', 'max_length', 'do_not_pad']
OFFSET_POSITIONS: list[str] = ['roberta', 'xlm-roberta', 'camembert', 'mpnet', 'longformer', 'xmod', 'data2vec-text']


@dataclass(frozen=True)
class Encoded:
    """A batch of tokenized texts: one row a text, rows of one length if they were padded.

    offsets: (start, end) in the text for every token, (0, 0) for special and padding tokens; None where they were not
    asked for. Positions count code points, in JS UTF-16 units, as indices of strings do.
    """

    input_ids: list[list[int]]
    attention_mask: list[list[int]]
    token_type_ids: list[list[int]]
    offsets: list[list[tuple[int, int]]] | None = None


class Row:
    """One text (or pair) with its special tokens, before padding.

    sources: 'A' or 'B', the text that each token is of, '' for special tokens. offsets, words: where asked for; words are -1 for special
    tokens.
    """

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.type_ids: list[int] = []
        self.sources: list[str] = []
        self.offsets: list[tuple[int, int]] = []
        self.words: list[int] = []


class Tokenizer:
    """The tokenizer of one model.

    library: the platform's tokenizer. config: tokenizer_config.json (empty if the model has none; in JS a Map). chat_template: a template, or
    several as {name, template}; None: the model has none in its config (it may have one in chat_template.jinja).
    """

    def __init__(self, library: TokenizerLibrary, config: dict[str, object]) -> None:
        settings = library.settings()
        self.library = library
        self.config: Mapping[str, object] = config
        self.chat_template: object = config.get('chat_template')
        self.max_length: int | None = declared_length(config)
        self.template: Template = read_template(cast('dict[str, object] | None', settings.get('post_processor')))
        padding = cast('dict[str, object] | None', settings.get('padding'))
        model = cast('dict[str, object]', settings['model'])
        added = cast('list[dict[str, object]]', settings.get('added_tokens') or [])
        self._special: set[int] = {cast(int, token['id']) for token in added if token.get('special') is True}
        self.marks_subwords = bool(model.get('continuing_subword_prefix'))
        self.padding_side = str(config.get('padding_side') or 'right')
        self.truncation_side = str(config.get('truncation_side') or 'right')
        self.pad_token = token_text(config.get('pad_token'))
        self.pad_id: int | None = None if self.pad_token is None else library.token_id(self.pad_token)
        self.pad_type_id = 0
        if config.get('pad_token_type_id') is not None:
            self.pad_type_id = cast(int, config['pad_token_type_id'])
        if padding is not None and self.pad_id is None:
            self.pad_token = str(padding['pad_token'])
            self.pad_id = cast(int, padding['pad_id'])

    def limit_to_model(self, config: dict[str, object]) -> None:
        """Cap the default length at the positions that the model of this config.json has."""
        positions = usable_positions(config)
        if positions is not None:
            self.max_length = positions if self.max_length is None else min(self.max_length, positions)

    def encode(
        self, texts: list[str], pairs: list[str] | None = None, *, padding: bool | str = False,
        truncation: bool | str = False, max_length: int | None = None, add_special_tokens: bool = True,
        return_offsets: bool = False,
    ) -> Encoded:
        """Tokenize a batch.

        pairs: the second text of each row. padding: True or 'longest', 'max_length', False. truncation: True or
        'longest_first', 'only_first', 'only_second', False. max_length: tokens with the special ones; without it the
        model's own maximum. Raises EdgeflowError 'invalid-argument'.
        """
        if pairs is not None and len(pairs) != len(texts):
            raise EdgeflowError(
                'invalid-argument', f'expected one pair for each of {len(texts)} texts, got {len(pairs)}', {})
        pad_to = option_name(padding, 'longest', 'do_not_pad', PADDINGS, 'padding')
        strategy = option_name(truncation, 'longest_first', 'do_not_truncate', STRATEGIES, 'truncation')
        limit = max_length if max_length is not None else self.max_length
        pieces = self.template.single if pairs is None else self.template.pair
        room = LARGEST_LENGTH
        if strategy != 'do_not_truncate' and limit is not None:
            room = limit - (special_count(pieces) if add_special_tokens else 0)
            if room < 0:
                raise EdgeflowError(
                    'invalid-argument',
                    f'expected a max_length of at least the {special_count(pieces)} special tokens, got {limit}', {})
        rows: list[Row] = []
        for i in range(len(texts)):
            first = self.library.encode_text(texts[i], return_offsets)
            second = None if pairs is None else self.library.encode_text(pairs[i], return_offsets)
            rows.append(self.compose(first, second, pieces, room, strategy, add_special_tokens))
        return self.pad(rows, pad_to, limit, return_offsets)

    def compose(
        self, first: TokenizedText, second: TokenizedText | None, pieces: list[Piece], room: int, strategy: str,
        add_special_tokens: bool,
    ) -> Row:
        """One row: both texts cut to fit, with the special tokens of the template around them."""
        keep_first, keep_second = kept_lengths(
            len(first.ids), None if second is None else len(second.ids), room, strategy)
        row = Row()
        for piece in pieces:
            if piece.source == '':
                if add_special_tokens:
                    for token in piece.ids:
                        row.ids.append(token)
                        row.type_ids.append(piece.type_id)
                        row.sources.append('')
                        row.offsets.append((0, 0))
                        row.words.append(-1)
                continue
            text = first if piece.source == 'A' else cast(TokenizedText, second)
            keep = keep_first if piece.source == 'A' else keep_second
            start = len(text.ids) - keep if self.truncation_side == 'left' else 0
            for i in range(start, start + keep):
                row.ids.append(text.ids[i])
                row.type_ids.append(piece.type_id)
                row.sources.append(piece.source)
                if text.offsets is not None:
                    row.offsets.append(text.offsets[i])
                if text.words is not None:
                    row.words.append(text.words[i])
        return row

    def windows(self, text: str, pair: str | None, *, max_length: int, stride: int, over_pair: bool = True) -> list[Row]:
        """A text, or a pair, that is too long for one row, as rows of which each begins with the last `stride` tokens before it.

        over_pair: the second of a pair is cut into windows and the first is in each; else it is the other way round. A single
        text is cut itself. The rows have offsets and words. EdgeflowError 'invalid-argument'.
        """
        first = self.library.encode_text(text, True)
        second = None if pair is None else self.library.encode_text(pair, True)
        pieces = self.template.single if second is None else self.template.pair
        over_second = second is not None and over_pair
        long = second if second is not None and over_second else first
        held = special_count(pieces)
        if second is not None:
            held = held + len(first.ids if over_second else second.ids)
        size = max_length - held
        if size <= stride and size < len(long.ids):
            raise EdgeflowError(
                'invalid-argument', f'expected room for more than the stride of {stride} tokens in {max_length}, of which {held} are taken', {})
        rows: list[Row] = []
        start = 0
        while True:
            end = min(start + size, len(long.ids))
            part = TokenizedText(long.ids[start:end], cast(list, long.offsets)[start:end], cast(list, long.words)[start:end])
            rows.append(self.compose(
                first if over_second else part, part if over_second else second, pieces, LARGEST_LENGTH, 'do_not_truncate', True))
            if end == len(long.ids):
                return rows
            start = start + size - stride

    def pad(self, rows: list[Row], pad_to: str, limit: int | None, return_offsets: bool) -> Encoded:
        """The rows as a batch, filled up to one length unless pad_to is 'do_not_pad'."""
        width = 0
        if pad_to == 'longest':
            for row in rows:
                width = max(width, len(row.ids))
        elif pad_to == 'max_length':
            if limit is None:
                raise EdgeflowError(
                    'invalid-argument', 'padding "max_length" expects a max_length, and the model names none', {})
            width = limit
        input_ids: list[list[int]] = []
        masks: list[list[int]] = []
        type_ids: list[list[int]] = []
        offsets: list[list[tuple[int, int]]] = []
        has_offsets = return_offsets
        for row in rows:
            count = len(row.ids)
            missing = max(0, width - count)
            if missing > 0 and self.pad_id is None:
                raise EdgeflowError(
                    'invalid-tokenizer', "padding expects a 'pad_token' in tokenizer_config.json, got none", {})
            fill = [self.pad_id if self.pad_id is not None else 0] * missing
            left = self.padding_side == 'left'
            input_ids.append(fill + row.ids if left else row.ids + fill)
            masks.append([0] * missing + [1] * count if left else [1] * count + [0] * missing)
            fill_types = [self.pad_type_id] * missing
            type_ids.append(fill_types + row.type_ids if left else row.type_ids + fill_types)
            has_offsets = has_offsets and len(row.offsets) == count
            nowhere = [(0, 0)] * missing
            offsets.append(nowhere + row.offsets if left else row.offsets + nowhere)
        return Encoded(input_ids, masks, type_ids, offsets if has_offsets else None)

    def decode(self, ids: list[int], *, skip_special_tokens: bool = False) -> str:
        """The text of these ids, as the tokenizer's own decoder joins it; ids without a token are left out."""
        if len(ids) == 0:
            return ''
        return self.library.decode_ids(ids, skip_special_tokens)

    def special_ids(self) -> set[int]:
        """The ids of the special tokens, which decode() can skip."""
        return self._special


def read_tokenizer(tokenizer_json: Bytes, tokenizer_config: Bytes | None) -> Tokenizer:
    """The tokenizer of a tokenizer.json, with the settings of tokenizer_config.json.

    Raises EdgeflowError 'invalid-tokenizer'.
    """
    config: dict[str, object] = {}
    if tokenizer_config is not None:
        try:
            parsed = json_parse(utf8_decode(tokenizer_config))
        except ValueError as error:
            raise EdgeflowError(
                'invalid-tokenizer', f'tokenizer_config.json: expected JSON, got {error}', {}) from error
        if not isinstance(parsed, dict):
            raise EdgeflowError('invalid-tokenizer', 'tokenizer_config.json: expected an object', {})
        config = cast('dict[str, object]', parsed)
    return Tokenizer(load_tokenizer(tokenizer_json, tokenizer_config), config)


def declared_length(config: dict[str, object]) -> int | None:
    """model_max_length of tokenizer_config.json; None where it is absent or the placeholder 1e30."""
    limit = config.get('model_max_length')
    if isinstance(limit, (int, float)) and limit < LARGEST_LENGTH:
        return int(limit)
    return None


def usable_positions(config: dict[str, object]) -> int | None:
    """How many tokens the position table of a model takes, by its config.json; None if it has no such table.

    RoBERTa's family counts positions from the padding id + 1 on, so it has that many fewer.
    """
    positions = config.get('max_position_embeddings')
    if not isinstance(positions, int) or positions <= 0:
        return None
    if config.get('model_type') not in OFFSET_POSITIONS:
        return positions
    pad = config.get('pad_token_id')
    return positions - (pad if isinstance(pad, int) else 1) - 1


def token_text(value: object) -> str | None:
    """A token of tokenizer_config.json, which is a string or a record with `content`."""
    if value is None:
        return None
    if isinstance(value, str):
        return value
    return str(cast('dict[str, object]', value)['content'])


def option_name(value: bool | str, when_true: str, when_false: str, known: list[str], option: str) -> str:
    """The name that a bool-or-name option stands for; raises EdgeflowError 'invalid-argument' for an unknown name."""
    if value is True:
        return when_true
    if value is False:
        return when_false
    if value in known:
        return str(value)
    names = ', '.join(known)
    raise EdgeflowError('invalid-argument', f'{option}: expected a bool or one of {names}, got "{value}"', {})
