"""What the bundle calls things: shared literals, members of private classes, shortened properties."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from pathlib import Path

from toolchain import bundle, dts, literals, members, properties
from toolchain.generator import EsGenerator
from toolchain.lowering import lower
from toolchain.paths import SOURCE
from toolchain.symbols import Project

PUBLIC = '''
class Tensor:
    def __init__(self, shape: list[int]) -> None:
        self.shape = shape
        self._data = shape

    def rank(self) -> int:
        return len(self.shape)
'''
PRIVATE = '''
from dataclasses import dataclass
from typing import Protocol
from edgeflow.public import Tensor


class Sized(Protocol):
    def size(self) -> int: ...


@dataclass
class Value:
    shape: list[int]
    dtype: str

    def size(self) -> int:
        return len(self.shape) + len(self.dtype)


@dataclass
class Step:
    name: str
    value: Value


def total(steps: list[Step], tensor: Tensor, sized: Sized) -> int:
    return sum(len(s.value.shape) + len(s.name) for s in steps) + len(tensor.shape) + sized.size() + len(tensor._data)
'''
LOOSE = '''
def loose(x: object) -> object:
    return x.dtype
'''


def compiled(**sources: str) -> tuple[Project, dict[str, EsGenerator], dict[str, str]]:
    """The modules edgeflow.<name>, with the notes of the generator in their texts; Tensor is all that users see."""
    project = Project()
    for name, source in sources.items():
        project.add(f'edgeflow.{name}', Path(f'{name}.py'), f'{name}.py', source, ast.parse(source))
    project.link()
    project.public = {'Tensor', 'shape', 'rank'}
    project.private = members.private_classes(project)
    generators, texts = {}, {}
    for name, module in project.modules.items():
        lower(module.tree)
        generators[name] = EsGenerator(project, module, name.replace('.', '/') + '.js')
        texts[name] = literals.plain(generators[name].generate())
        assert generators[name].errors == []
    return project, generators, texts


def new_names(project: Project, generators: dict[str, EsGenerator], texts: dict[str, str]) -> dict[str, str]:
    loose = {name for generator in generators.values() for name in generator.loose_members}
    return members.shared_names(texts.values(), members.replaceable(project, list(project.modules.values()), loose, set()))


def test_members_of_private_classes_get_other_names_where_all_readers_are_typed() -> None:
    project, generators, texts = compiled(public=PUBLIC, private=PRIVATE)
    names = new_names(project, generators, texts)
    assert set(names) == {'shape', 'dtype', 'size', 'name', 'value', '_data'}
    text = members.resolved(texts['edgeflow.private'], names)
    assert f'.{names["value"]}.{names["shape"]}.length' in text
    assert 'tensor.shape.length' in text, 'users know the shape of a Tensor'
    assert f'tensor.{names["_data"]}' in text and f'sized.{names["size"]}()' in text
    assert '.shape' in members.resolved(texts['edgeflow.public'], names)


def test_unrelated_members_share_a_name_and_those_of_one_class_do_not() -> None:
    names = new_names(*compiled(public=PUBLIC, private=PRIVATE))
    assert len({names[name] for name in ('shape', 'dtype', 'size')}) == 3
    assert names['name'] != names['value']
    assert {names['name'], names['value']} < {names['shape'], names['dtype'], names['size']}


def test_a_reader_of_unknown_type_keeps_the_name() -> None:
    names = new_names(*compiled(public=PUBLIC, private=PRIVATE, loose=LOOSE))
    assert 'dtype' not in names and 'shape' in names


def test_modules_that_are_not_bundled_keep_all_names() -> None:
    _, _, texts = compiled(public=PUBLIC, private=PRIVATE)
    text = members.resolved(texts['edgeflow.private'], {})
    assert 's.value.shape.length' in text and '\x05' not in text


def test_a_literal_becomes_a_constant_where_that_is_shorter() -> None:
    often, seldom = literals.note("'invalid-graph'"), literals.note("'once'")
    shared = literals.Literals([f'f({often}, {often}); g({often})', f'h({often}, {seldom})'], literals.module_path(None))
    assert list(shared.names) == ["'invalid-graph'"]
    assert shared.shared(f'h({often}, {seldom})', 'edgeflow/ir/x.js').splitlines() == [
        "import { $$invalid_graph } from '../$literals.js';", "h($$invalid_graph, 'once')",
    ]
    assert shared.module() == "export const $$invalid_graph = 'invalid-graph';\n"
    assert literals.plain(f'h({often})') == "h('invalid-graph')"


def test_names_that_others_know_are_not_shortened() -> None:
    shortened = set(properties.read())
    public = properties.words(dts.Declarations(SOURCE).generate())
    assert shortened and not shortened & public
    assert not shortened & {'length', 'push', 'then', 'postMessage', 'constructor', 'unk_token', 'vocab', 'model_max_length'}


def test_both_forms_of_the_bundle_use_the_same_names(dist: Path) -> None:
    module, script = (Counter(re.findall(r'(?<!\.)\.([A-Za-z_$][\w$]*)', (dist / name).read_text())) for name in bundle.FORMS)
    short = set(json.loads(bundle.SHORT_NAMES.read_text()).values())
    assert short and {name: module[name] for name in short} == {name: script[name] for name in short}


def test_errors_speak_of_options_as_js_spells_them_and_of_keys_in_files_as_they_are() -> None:
    code = '''raise EdgeflowError('invalid-argument', f"top_k: expected more than {least}, or None; got '{top_k}' with env.cache_budget", {'max_size': 1})
check_count('batching: max_size', 0)
raise EdgeflowError('invalid-model', "tokenizer_config.json: expected a 'pad_token'", {})'''
    said = {'top_k:': 'topK:', 'None': 'null', 'cache_budget': 'cacheBudget', 'batching: max_size': 'batching: maxSize'}
    expected = ast.unparse(ast.parse(code))
    for python, js in said.items():
        expected = expected.replace(python, js)
    assert ast.unparse(lower(ast.parse(code))) == expected
