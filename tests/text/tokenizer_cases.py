"""The comparison of a tokenizer with tests/models/*/cases/tokenizer.json, as plain records.

A case is (what, call, expected). Both runtimes make the same calls: CPython in test_tokenizer_cases.py, JS in
tests/browser/test_tokenizer.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MODELS = Path(__file__).parent.parent / 'models'
NAMES = sorted(path.parent.parent.name for path in MODELS.glob('*/cases/tokenizer.json'))


@dataclass(frozen=True)
class Case:
    """One call of a tokenizer: method 'encode' or 'decode' with its arguments, and the fields expected of the result."""

    what: str
    method: str
    arguments: list[object]
    options: dict[str, object]
    expected: object


def cases(name: str) -> Iterator[Case]:
    """Every comparison that the file of one model holds."""
    data = json.loads((MODELS / name / 'cases' / 'tokenizer.json').read_text())
    for entry in data['encode']:
        text = entry['text']
        yield Case(f'encode {text!r}', 'encode', [[text]], {}, {
            'input_ids': [entry['ids']], 'attention_mask': [entry['attention_mask']],
            'token_type_ids': [entry['type_ids']]})
        yield Case(f'encode without special tokens {text!r}', 'encode', [[text]], {'add_special_tokens': False},
                   {'input_ids': [entry['ids_no_special']]})
        yield from decoding(entry)
    for entry in data['pairs']:
        yield Case(f'encode pair {entry["text"]!r}', 'encode', [[entry['text']], [entry['text_pair']]], {}, {
            'input_ids': [entry['ids']], 'attention_mask': [entry['attention_mask']],
            'token_type_ids': [entry['type_ids']]})
    padded = data.get('batch_padded')
    if padded is not None:
        yield Case('pad a batch', 'encode', [padded['texts']], {'padding': True}, {
            'input_ids': padded['ids'], 'attention_mask': padded['attention_mask']})
    truncated = data.get('batch_truncated_12')
    if truncated is not None:
        yield Case('truncate a batch', 'encode', [truncated['texts']], {'truncation': True, 'max_length': 12},
                   {'input_ids': truncated['ids']})
    for entry in data['decode']:
        yield from decoding(entry)


def decoding(entry: dict) -> Iterator[Case]:
    """The decodings that one entry expects."""
    for field, skip in (('decoded', False), ('decoded_skip_special', True)):
        if field in entry:
            yield Case(f'{field} {entry["ids"]}', 'decode', [entry['ids']], {'skip_special_tokens': skip}, entry[field])


def padding_side(name: str) -> str | None:
    """The side on which the expected batch was padded."""
    data = json.loads((MODELS / name / 'cases' / 'tokenizer.json').read_text())
    return data['batch_padded']['padding_side'] if 'batch_padded' in data else None
