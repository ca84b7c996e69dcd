"""Preparation of features and their names (ai.onnx.ml): encoders, scalers, maps."""

from __future__ import annotations

import math

from edgeflow.backends.wasm.more.ml_scores import DOMAIN, rows_of
from edgeflow.backends.wasm.more.values import Call, Datum, Held, Interpret
from edgeflow.host.strings import parse_number
from edgeflow.ir.attributes import int_of, number_of, tensor_of, text_of
from edgeflow.ir.elements import elements
from edgeflow.plan.values import Value

KINDS: dict[str, str] = {'strings': 'string', 'int64s': 'int64', 'floats': 'float32'}


class _Column:
    """A list of texts or of numbers, which an attribute gives."""

    def __init__(self, dtype: str, texts: list[str], numbers: list[float]) -> None:
        self.dtype: str = dtype
        self.texts: list[str] = texts
        self.numbers: list[float] = numbers

    def keys(self) -> list[str]:
        return self.texts if self.dtype == 'string' else [f'{x}' for x in self.numbers]


def _column(c: Call, stem: str) -> _Column:
    """The attribute 'stem_strings', 'stem_int64s', 'stem_floats' or 'stem_tensor'."""
    tensor = tensor_of(c.node, stem + '_tensor')
    if tensor is not None:
        return _Column(tensor.dtype, tensor.strings, elements(tensor))
    for kind in KINDS:
        if f'{stem}_{kind}' in c.node.attributes:
            name = f'{stem}_{kind}'
            textual = kind == 'strings'
            return _Column(KINDS[kind], c.attr_texts(name) if textual else [], [] if textual else c.attr_numbers(name))
    raise c.invalid(f"an attribute '{stem}_...'", 'none')


def _keys_of(c: Call, index: int) -> list[str]:
    """The elements of an input as dict keys."""
    value = c.value(index)
    return c.t.strings(value) if value.dtype == 'string' else [f'{x}' for x in c.t.numbers(value)]


def _encode(c: Call) -> list[Datum | None]:
    """LabelEncoder. In version 1 the classes are a list of strings, whose places are the numbers, either way."""
    shape = c.value(0).shape
    if c.opset < 2:
        names = c.attr_texts('classes_strings')
        if c.value(0).dtype != 'string':
            other = text_of(c.node, 'default_string', '_Unused')
            return [c.t.make_texts(shape, [names[i] if 0 <= i < len(names) else other for i in c.ints(0)])]
        absent = int_of(c.node, 'default_int64', -1)
        return [c.t.make('int64', shape, [names.index(text) if text in names else absent for text in c.texts(0)])]
    keys = _column(c, 'keys').keys()
    values = _column(c, 'values')
    if len(keys) != max(len(values.texts), len(values.numbers)):
        raise c.invalid(f'{len(keys)} values', f'{max(len(values.texts), len(values.numbers))}')
    places: dict[str, int] = {}
    for i in range(len(keys)):
        if keys[i] not in places:
            places[keys[i]] = i
    found = [places.get(key, -1) for key in _keys_of(c, 0)]
    given = tensor_of(c.node, 'default_tensor')
    if values.dtype == 'string':
        missing = given.strings[0] if given is not None else text_of(c.node, 'default_string', '_Unused')
        return [c.t.make_texts(shape, [values.texts[i] if i >= 0 else missing for i in found])]
    default: float = -0.0 if values.dtype[:5] == 'float' else -1
    if given is not None:
        default = elements(given)[0]
    else:
        default = number_of(c.node, 'default_float' if values.dtype[:5] == 'float' else 'default_int64', default)
    return [c.t.make(values.dtype, shape, [values.numbers[i] if i >= 0 else default for i in found])]


def _map_category(c: Call) -> list[Datum | None]:
    numbers = c.attr_ints('cats_int64s')
    names = c.attr_texts('cats_strings')
    if len(names) != len(numbers):
        raise c.invalid('as many cats_strings as cats_int64s', f'{len(names)} and {len(numbers)}')
    shape = c.value(0).shape
    if c.value(0).dtype == 'string':
        absent = int_of(c.node, 'default_int64', -1)
        return [c.t.make('int64', shape, [numbers[names.index(text)] if text in names else absent for text in c.texts(0)])]
    other = text_of(c.node, 'default_string', '_Unused')
    return [c.t.make_texts(shape, [names[numbers.index(x)] if x in numbers else other for x in c.ints(0)])]


def _one_hot(c: Call) -> list[Datum | None]:
    textual = len(c.attr_texts('cats_strings')) > 0
    cats = c.attr_texts('cats_strings') if textual else [f'{x}' for x in c.attr_ints('cats_int64s')]
    given = c.texts(0) if textual else [f'{int(x)}' if x % 1 == 0 else '' for x in c.numbers(0)]
    rows: list[float] = []
    for text in given:
        if text not in cats and int_of(c.node, 'zeros', 1) == 0:
            raise c.fail('a known category', text)
        rows.extend([1.0 if text == cat else 0.0 for cat in cats])
    return [c.t.make('float32', c.value(0).shape + [len(cats)], rows)]


def _extract(c: Call) -> list[Datum | None]:
    """The columns of the last axis that input 1 names."""
    source = c.value(0)
    places = c.ints(1)
    at = len(source.shape) - 1
    if at == 0:
        source = c.t.reshaped(source, [1] + source.shape)
        at = 1
    return [c.t.apply('Gather', [source, c.t.make('int64', [len(places)], places)], {'axis': at})]


def _float_rows(c: Call) -> Value:
    """Input 0 as float32."""
    source = c.value(0)
    return source if source.dtype == 'float32' else c.t.apply('Cast', [source], {'to': 1})


def _scale(c: Call) -> list[Datum | None]:
    source = _float_rows(c)
    for name in ['offset', 'scale']:
        numbers = c.attr_numbers(name)
        if len(numbers) > 0:
            row = c.t.make('float32', [len(numbers)], numbers)
            source = c.t.apply('Sub' if name == 'offset' else 'Mul', [source, row])
    return [source]


def _binarize(c: Call) -> list[Datum | None]:
    source = c.value(0)
    limit = number_of(c.node, 'threshold', 0.0)
    return [c.t.make(source.dtype, source.shape, [1.0 if x > limit else 0.0 for x in c.numbers(0)])]


def _impute(c: Call) -> list[Datum | None]:
    source = c.value(0)
    whole = source.dtype[:5] != 'float'
    values = c.attr_numbers('imputed_value_int64s' if whole else 'imputed_value_floats')
    missing = number_of(c.node, 'replaced_value_int64' if whole else 'replaced_value_float', 0.0)
    width = 1 if len(source.shape) == 0 else source.shape[-1]
    if len(values) != 1 and len(values) != width:
        raise c.invalid(f'1 or {width} imputed values', f'{len(values)}')
    numbers: list[float] = c.numbers(0)[:]
    for i in range(len(numbers)):
        if numbers[i] == missing or (math.isnan(missing) and math.isnan(numbers[i])):
            numbers[i] = values[i % width if len(values) > 1 else 0]
    return [c.t.make(source.dtype, source.shape, numbers)]


def _normalize(c: Call) -> list[Datum | None]:
    norm = text_of(c.node, 'norm', 'MAX')
    numbers: list[float] = []
    for row in rows_of(c):
        size = max([abs(x) for x in row] + [0.0])
        if norm == 'L1':
            size = sum([abs(x) for x in row])
        elif norm == 'L2':
            size = math.sqrt(sum([x * x for x in row]))
        numbers.extend([x / size if size != 0 else x for x in row])
    return [c.t.make('float32', c.value(0).shape, numbers)]


def _join(c: Call) -> list[Datum | None]:
    """FeatureVectorizer: the columns of all inputs, each cut or filled up to its declared width."""
    widths = c.attr_ints('inputdimensions')
    if len(widths) != len(c.inputs) or min(widths + [0]) < 0:
        raise c.invalid(f'{len(c.inputs)} inputdimensions from 0 up', f'{widths}')
    if len(c.value(0).shape) == 0:
        raise c.fail('features [N, C]', 'a scalar')
    count = c.value(0).shape[0]
    c.room([count, sum(widths)])
    rows: list[list[float]] = [[] for _ in range(count)]
    for i in range(len(widths)):
        value = c.value(i)
        width = value.count() // max(count, 1)
        numbers = c.t.numbers(value)
        for k in range(count):
            line = numbers[k * width:k * width + min(width, widths[i])]
            rows[k].extend(line + [0.0] * (widths[i] - len(line)))
    joined: list[float] = []
    for row in rows:
        joined.extend(row)
    return [c.t.make('float32', [count, sum(widths)], joined)]


def _map_of(c: Call) -> Held:
    found: Datum = c.datum(0)
    if isinstance(found, Held) and found.kind == 'map':
        return found
    raise c.invalid('a map', 'another kind')


def _item(c: Call, item: Datum) -> Value:
    if isinstance(item, Held):
        raise c.invalid('numbers or texts in the map', f'a {item.kind}')
    return item


def _vectorize(c: Call) -> list[Datum | None]:
    """DictVectorizer: the values of a map in the order of a vocabulary, zero or '' for those it lacks."""
    given = _map_of(c)
    textual = len(c.attr_texts('string_vocabulary')) > 0
    names = c.attr_texts('string_vocabulary') if textual else [f'{x}' for x in c.attr_ints('int64_vocabulary')]
    return [_laid_out(c, given, [f'{key}' for key in given.keys], names)]


def _laid_out(c: Call, given: Held, keys: list[str], names: list[str]) -> Value:
    dtype = _item(c, given.items[0]).dtype if len(given.items) > 0 else 'float32'
    empty = c.t.make_texts([1], ['']) if dtype == 'string' else c.t.make(dtype, [1], [0])
    row: list[Value | None] = []
    for name in names:
        row.append(c.t.reshaped(_item(c, given.items[keys.index(name)]), [1]) if name in keys else empty)
    return c.t.reshaped(c.t.apply('Concat', row, {'axis': 0}), [1, len(names)])


def _cast_map(c: Call) -> list[Datum | None]:
    """The values of a map in the order of its keys; SPARSE: at the place that the key says."""
    given = _map_of(c)
    places: list[int] = []
    for key in given.keys:
        number = parse_number(f'{key}')
        if number is None or number % 1 != 0:
            raise c.fail('whole numbers as keys', f'{key}')
        places.append(int(number))
    wide = text_of(c.node, 'map_form', 'DENSE') == 'SPARSE'
    names = [i for i in range(int_of(c.node, 'max_map', 1))] if wide else sorted(places)
    row = _laid_out(c, given, [f'{x}' for x in places], [f'{x}' for x in names])
    target = text_of(c.node, 'cast_to', 'TO_FLOAT')
    if target == 'TO_STRING' or row.dtype == 'string':
        raise c.invalid('numbers', 'strings')
    return [c.t.apply('Cast', [row], {'to': 1 if target == 'TO_FLOAT' else 7})]


def _zip(c: Call) -> list[Datum | None]:
    """ZipMap: each row as a map from the class's label."""
    source = c.value(0)
    texts = c.attr_texts('classlabels_strings')
    keys: list[str] | list[float] = texts if len(texts) > 0 else c.attr_numbers('classlabels_int64s')
    shape = source.shape if len(source.shape) == 2 else [1, source.count()]
    if shape[1] != len(keys):
        raise c.fail(f'{len(keys)} scores a row', f'shape {source.shape}')
    numbers = c.t.numbers(source)
    maps: list[Datum] = []
    for row in range(shape[0]):
        items: list[Datum] = [c.t.make(source.dtype, [], [numbers[row * shape[1] + i]]) for i in range(shape[1])]
        maps.append(Held('map', items, keys))
    return [Held('sequence', maps)]


FEATURE_RULES: dict[str, Interpret] = {
    DOMAIN + 'LabelEncoder': _encode, DOMAIN + 'CategoryMapper': _map_category, DOMAIN + 'OneHotEncoder': _one_hot,
    DOMAIN + 'ArrayFeatureExtractor': _extract, DOMAIN + 'Scaler': _scale, DOMAIN + 'Binarizer': _binarize, DOMAIN + 'Imputer': _impute,
    DOMAIN + 'Normalizer': _normalize, DOMAIN + 'FeatureVectorizer': _join, DOMAIN + 'DictVectorizer': _vectorize,
    DOMAIN + 'CastMap': _cast_map, DOMAIN + 'ZipMap': _zip,
}
