"""Operators on strings."""

from __future__ import annotations

from edgeflow.backends.wasm.more.values import Call, Datum, Interpret
from edgeflow.host.strings import find_matches, match_fully, number_text, parse_number
from edgeflow.ir.attributes import int_of, ints_of, text_of
from edgeflow.ir.dtype import DTYPE_NAMES
from edgeflow.plan.values import Value


def _concat(c: Call) -> list[Datum | None]:
    left = _spread(c, c.value(0), c.value(1))
    right = _spread(c, c.value(1), c.value(0))
    a = c.t.strings(left)
    b = c.t.strings(right)
    return [c.t.make_texts(left.shape, [a[i] + b[i] for i in range(len(a))])]


def _spread(c: Call, value: Value, other: Value) -> Value:
    """`value` broadcast against the shape of `other`."""
    return value if value.shape == other.shape else c.t.apply('Expand', [value, c.t.make('int64', [len(other.shape)], other.shape)])


def _split(c: Call) -> list[Datum | None]:
    delimiter = text_of(c.node, 'delimiter', '')
    most = int_of(c.node, 'maxsplit', -1) if 'maxsplit' in c.node.attributes else -1
    source = c.value(0)
    rows = [_parts(text, delimiter, most) for text in c.texts(0)]
    width = 0
    for row in rows:
        width = max(width, len(row))
    texts: list[str] = []
    for row in rows:
        texts.extend(row + [''] * (width - len(row)))
    return [c.t.make_texts(source.shape + [width], texts), c.t.make('int64', source.shape, [len(row) for row in rows])]


def _parts(text: str, delimiter: str, most: int) -> list[str]:
    """As Python's str.split(); without a delimiter, between runs of white space."""
    parts: list[str] = []
    rest: str = text
    if delimiter != '':
        while most < 0 or len(parts) < most:
            at = rest.find(delimiter)
            if at < 0:
                break
            parts.append(rest[:at])
            rest = rest[at + len(delimiter):]
        return parts + [rest]
    rest = text.strip()
    while rest != '' and (most < 0 or len(parts) < most):
        at = 0
        while at < len(rest) and rest[at].strip() != '':
            at = at + 1
        parts.append(rest[:at])
        rest = rest[at:].strip()
    return parts + [rest] if rest != '' else parts


def _normalize(c: Call) -> list[Datum | None]:
    source = c.value(0)
    rank = len(source.shape)
    if rank < 1 or rank > 2 or (rank == 2 and source.shape[0] != 1):
        raise c.fail('strings of shape [C] or [1, C]', f'{source.shape}')
    action = text_of(c.node, 'case_change_action', 'NONE')
    exact = int_of(c.node, 'is_case_sensitive') == 1
    stops: set[str] = set()
    for word in c.attr_texts('stopwords'):
        stops.add(word if exact else word.lower())
    kept = [text for text in c.texts(0) if (text if exact else text.lower()) not in stops]
    if action == 'LOWER':
        kept = [text.lower() for text in kept]
    elif action == 'UPPER':
        kept = [text.upper() for text in kept]
    if len(kept) == 0:
        kept = ['']
    return [c.t.make_texts(source.shape[:rank - 1] + [len(kept)], kept)]


def _match(c: Call) -> list[Datum | None]:
    pattern = text_of(c.node, 'pattern', '')
    found = match_fully(pattern, c.texts(0))
    if found is None:
        raise c.invalid('a regular expression', f"'{pattern}'")
    return [c.t.make('bool', c.value(0).shape, found)]


def _tokenize(c: Call) -> list[Datum | None]:
    """com.microsoft's Tokenizer: what an expression finds, or what lies between separators; rows are filled up with pad_value."""
    source = c.value(0)
    expression = text_of(c.node, 'tokenexp', '')
    separators = c.attr_texts('separators')
    least = int_of(c.node, 'mincharnum', 1)
    stops = c.attr_texts('stopwords')
    marked = int_of(c.node, 'mark') == 1
    rows: list[list[str]] = []
    width: int = 0
    for text in c.texts(0):
        found: list[str] | None = [text]
        if expression != '':
            found = find_matches(expression, text)
        elif separators == ['']:
            found = [letter for letter in text]
        else:
            for separator in separators:
                found = _between(found, separator)
        if found is None:
            raise c.invalid('a regular expression', f'{expression} {separators}')
        kept = [token for token in found if len(token) >= least and token not in stops]
        rows.append(['\x02'] + kept + ['\x03'] if marked else kept)
        width = max(width, len(rows[-1]))
    filler = text_of(c.node, 'pad_value', '')
    texts: list[str] = []
    for row in rows:
        texts.extend(row + [filler] * (width - len(row)))
    return [c.t.make_texts(source.shape + [width], texts)]


def _between(parts: list[str] | None, separator: str) -> list[str] | None:
    """What is left of the parts between the matches of a separator; None if it is no expression."""
    if parts is None:
        return None
    pieces: list[str] = []
    for part in parts:
        rest: str = part
        matches = find_matches(separator, part)
        if matches is None:
            return None
        for match in matches:
            at = rest.find(match)
            pieces.append(rest[:at])
            rest = rest[at + len(match):]
        pieces.append(rest)
    return [piece for piece in pieces if piece != '']


def _count_grams(c: Call) -> list[Datum | None]:
    """TfIdfVectorizer: how often the n-grams of a pool occur, with up to max_skip_count items left out between two of theirs."""
    source = c.value(0)
    textual = source.dtype == 'string'
    words = [f'{x}' for x in (c.texts(0) if textual else c.ints(0))]
    pool = [f'{x}' for x in (c.attr_texts('pool_strings') if textual else c.attr_numbers('pool_int64s'))]
    places = c.attr_ints('ngram_indexes')
    starts = c.attr_ints('ngram_counts') + [len(pool)]
    least = int_of(c.node, 'min_gram_length', 1)
    most = int_of(c.node, 'max_gram_length', 1)
    skips = int_of(c.node, 'max_skip_count')
    mode = text_of(c.node, 'mode', 'TF')
    if len(source.shape) > 2 or mode not in ['TF', 'IDF', 'TFIDF']:
        raise c.invalid('[C] or [N, C], and mode TF, IDF or TFIDF', f'{source.shape}, {mode}')
    numbers: dict[str, int] = {}
    grams: int = 0
    for size in range(1, len(starts)):
        for at in range(starts[size - 1], starts[size], size):
            numbers[_gram(pool[at:at + size])] = grams
            grams += 1
    if len(places) < grams or min(places + [0]) < 0:
        raise c.invalid(f'an index from 0 up for each of {grams} n-grams', f'{places}')
    width: int = max(places + [-1]) + 1
    rows: int = source.shape[0] if len(source.shape) == 2 else 1
    length = len(words) // max(rows, 1)
    counts = [0.0] * c.room([rows, width])
    for row in range(rows):
        line = words[row * length:(row + 1) * length]
        for size in range(max(least, 1), min(most, len(starts) - 1) + 1):
            for skip in range(1, skips + 2):
                if (size == 1 and skip > 1) or (size - 1) * skip >= len(line):
                    break
                for first in range(len(line) - (size - 1) * skip):
                    number = numbers.get(_gram([line[first + i * skip] for i in range(size)]), -1)
                    if number >= 0:
                        counts[row * width + places[number]] += 1
    weights = c.attr_numbers('weights')
    if mode != 'TF':
        scale = [1.0] * width
        for i in range(min(len(weights), len(places))):
            scale[places[i]] = weights[i]
        counts = [(counts[i] if mode == 'TFIDF' else min(counts[i], 1)) * scale[i % width] for i in range(len(counts))]
    return [c.t.make('float32', source.shape[:len(source.shape) - 1] + [width] if len(source.shape) > 0 else [width], counts)]


def _gram(words: list[str]) -> str:
    return '\n'.join([f'{len(word)} {word}' for word in words])


def cast_target(c: Call) -> str:
    """The type that Cast or CastLike makes; '' if there is none such."""
    return c.value(1).dtype if c.node.op == 'CastLike' else DTYPE_NAMES.get(int_of(c.node, 'to'), '')


def cast_text(c: Call, dtype: str) -> list[Datum | None]:
    """Cast from or to strings."""
    source = c.value(0)
    if dtype == source.dtype:
        return [source]
    if dtype == 'string':
        if source.dtype[:5] == 'float':
            return [c.t.make_texts(source.shape, [number_text(x, source.dtype) for x in c.t.numbers(source)])]
        return [c.t.make_texts(source.shape, [f'{x}' for x in c.t.ints(source)])]
    numbers: list[float] = []
    for text in c.texts(0):
        number = parse_number(text)
        if number is None:
            raise c.fail('a number', f"'{text}'")
        numbers.append(number)
    return [c.t.make(dtype, source.shape, numbers)]


STRING_RULES: dict[str, Interpret] = {
    'StringConcat': _concat, 'StringSplit': _split, 'StringNormalizer': _normalize, 'RegexFullMatch': _match,
    'TfIdfVectorizer': _count_grams, 'com.microsoft:Tokenizer': _tokenize,
}
