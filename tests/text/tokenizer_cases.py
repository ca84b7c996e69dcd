"""The comparison of a tokenizer with tests/models/*/cases/tokenizer.json, and random texts, as plain records.

Both runtimes make the same calls and are judged by the same code: CPython in test_tokenizer_cases.py, JS in
tests/browser/test_tokenizer.py.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
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


def wrong_answers(name: str, answers: list[object]) -> list[tuple[str, object, object]]:
    """What is wrong of the answers to the cases of a model, in their order: (case, got, expected).

    An answer is a text for 'decode', a dict with the fields of Encoded for 'encode'.
    """
    wrong = []
    for case, answer in zip(cases(name), answers, strict=True):
        got = answer
        if isinstance(case.expected, dict):
            got = {field: answer[field] for field in case.expected}
        if got != case.expected:
            wrong.append((case.what, got, case.expected))
    return wrong


def plain_cases(name: str) -> list[dict]:
    """The cases of a model as JSON, without what is expected."""
    return [{key: value for key, value in asdict(case).items() if key in ('method', 'arguments', 'options')}
            for case in cases(name)]


# Texts that the JS library splits otherwise than the Rust library, on purpose left so: docs/tokenizer-differences.md.
# (model, text, why)
KNOWN_DIFFERENCES: list[tuple[str, str, str]] = [
    ('bert-mini-sentence', 'a\u061db', 'U+061D is punctuation since Unicode 14; the Rust library goes by Unicode 8'),
    ('bert-ner-mini', 'a\u2e4fb', 'U+2E4F is punctuation since Unicode 12; the Rust library goes by Unicode 8'),
    ('bert-mini-sentence', 'a\u0ece', 'U+0ECE is a mark since Unicode 15, and marks are stripped; for the Rust library it is none'),
]

RANGES = [
    (0x20, 0x7F), (0x20, 0x250), (0x370, 0x400), (0x400, 0x500), (0x620, 0x700), (0x900, 0x980), (0xE00, 0xE5C),
    (0x1100, 0x1200), (0x2000, 0x2070), (0x2070, 0x2C00), (0x3000, 0x30FF), (0x4E00, 0x4F00), (0xAC00, 0xAD00),
    (0xF900, 0xFB00), (0xFE00, 0xFFFF), (0x1F300, 0x1F650), (0x20000, 0x20100), (0x1D400, 0x1D500), (1, 32), (0x300, 0x370),
]
WORDS = [
    'hello', 'world', "don't", ' the', 'The', 'ΣΑΣ', 'ΟΔΟΣ ', 'İstanbul', 'ǅ', 'ﬁ', '½', '①', '１２３', '١٢٣', '\u200d',
    '\u200c', '\ufeff', '👨\u200d👩\u200d👧', 'e\u0301', 'o\u0302\u0323', '각', '[CLS]', '[MASK]', '<s>', '</s>', '\n',
    '\r\n', '\t', '  ', '...', '$&', '$1', '_', 'a_b', 'ẞ', 'ß', 'ﷺ', '㎏', '~', '～', '\x85', '\u2028', '\xa0', '\u3000', 'Å',
]


def random_texts(seed: int, count: int) -> list[str]:
    """Texts of words and characters that tokenizers treat in special ways; the same for the same seed."""
    chance = random.Random(seed)
    texts = []
    for _ in range(count):
        parts = []
        for _ in range(chance.randint(0, 8)):
            if chance.random() < 0.5:
                parts.append(chance.choice(WORDS))
            else:
                start, end = chance.choice(RANGES)
                parts.extend(chr(chance.randrange(start, end)) for _ in range(chance.randint(1, 5)))
            if chance.random() < 0.4:
                parts.append(' ')
        texts.append(''.join(parts))
    return texts
