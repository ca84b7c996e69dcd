"""Tokenizers in CPython: the Rust library, PyPI `tokenizers`. CPython only."""

from __future__ import annotations

import json
import re
import unicodedata

import tokenizers

from edgeflow.errors import EdgeflowError
from edgeflow.host.cpython_templates import render_template  # noqa: F401
from edgeflow.host.port import TokenizedText


class RustTokenizer:
    """A TokenizerLibrary (see host/port.py)."""

    def __init__(self, text: str) -> None:
        self._settings = json.loads(text)
        self._settings['model'] = {name: value for name, value in self._settings['model'].items() if name not in ('vocab', 'merges')}
        self._tokenizer = tokenizers.Tokenizer.from_str(text)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def settings(self) -> dict[str, object]:
        return self._settings

    def encode_text(self, text: str, with_offsets: bool) -> TokenizedText:
        found = self._tokenizer.encode(text, add_special_tokens=False)
        if not with_offsets:
            return TokenizedText(found.ids)
        return TokenizedText(found.ids, found.offsets, [-1 if word is None else word for word in found.word_ids])

    def decode_ids(self, ids: list[int], skip_special_tokens: bool) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)

    def join_tokens(self, tokens: list[str]) -> str:
        return ' '.join(tokens) if self._tokenizer.decoder is None else self._tokenizer.decoder.decode(tokens)

    def token_id(self, token: str) -> int | None:
        return self._tokenizer.token_to_id(token)

    def token(self, token_id: int) -> str | None:
        return self._tokenizer.id_to_token(token_id)


def parse_ahead(tokenizer_json: memoryview) -> None:
    """The Rust library reads the bytes itself, and no page waits."""


def load_tokenizer(tokenizer_json: memoryview, tokenizer_config: memoryview | None) -> RustTokenizer:
    try:
        return RustTokenizer(str(tokenizer_json, 'utf-8'))
    except Exception as error:  # the library raises a bare Exception for whatever it finds
        raise EdgeflowError('invalid-tokenizer', f'tokenizer.json: {error}', {}) from error


def joins(before: str, after: str) -> bool:
    first = after[0]
    if unicodedata.category(first)[0] == 'M' or re.match('[\u200d\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]', first) or before.endswith('\u200d'):
        return True
    flags = re.search('[\U0001f1e6-\U0001f1ff]+$', before)
    return flags is not None and len(flags[0]) % 2 == 1 and re.match('[\U0001f1e6-\U0001f1ff]', first) is not None


def may_be_joined(text: str) -> bool:
    return unicodedata.category(text[-1])[0] in 'LMSN' or text[-1] == '\u200d'
