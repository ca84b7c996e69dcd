"""Parts of the bundle: what is refused, and how modules refer to each other across files."""

from __future__ import annotations

import re
from pathlib import Path

from toolchain.parts import Parts, core_module, note, wrapped, wrapping

PARTS = Parts({'far': ['edgeflow.far.*']})


def test_a_part_is_not_imported_at_run_time() -> None:
    texts = {'edgeflow/a.js': "import { f } from './far/b.js';\n", 'edgeflow/far/b.js': "import { g } from './c.js';\n", 'edgeflow/far/c.js': ''}
    [(path, message)] = PARTS.check(texts)
    assert path == 'edgeflow/a.js'
    assert "edgeflow.far.b is of the part 'far'" in message


def test_what_is_of_no_part_is_not_fetched() -> None:
    texts = {'edgeflow/a.js': f"const {{ f }} = await {note('edgeflow/b.js')};\n", 'edgeflow/b.js': ''}
    [(path, message)] = PARTS.check(texts)
    assert path == 'edgeflow/a.js'
    assert 'edgeflow.b is of no part' in message


def test_unbundled_a_part_is_a_module() -> None:
    text = f"const {{ f }} = await {note('edgeflow/far/b.js')};\n"
    assert PARTS.resolved(text, 'edgeflow/x/a.js', False) == "const { f } = await import('../far/b.js');\n"


def test_bundled_a_part_takes_what_it_needs_and_gives_what_is_asked_for() -> None:
    made = PARTS.outputs({
        'edgeflow/a.js': f"import {{ $len }} from '../runtime/index.js';\nexport const g = () => 1;\nconst {{ f }} = await {note('edgeflow/far/b.js')};\n",
        'edgeflow/far/b.js': "import { $len } from '../../runtime/index.js';\nimport { g as h } from '../a.js';\nimport { c } from './c.js';\nexport const f = () => h(c);\n",
        'edgeflow/far/c.js': 'export const c = 2;\n',
    })
    registry = made['bundle/edgeflow/$parts.js']
    core = made['parts/far/edgeflow/$core.js']
    b = made['parts/far/edgeflow/far/b.js']
    assert made['parts/far/index.js'] == "export { f } from './edgeflow/far/b.js';\n"
    assert "import { g as $1 } from './a.js';" in registry
    assert 'const core = () => [$0, $1];' in registry
    assert 'export const [$0, $1] = $$;' in core
    assert "import { $1 as h } from '../$core.js';" in b
    assert "import { c } from './c.js';" in b
    assert "import { $far } from './$parts.js';" in made['bundle/edgeflow/a.js']
    assert 'bundle/edgeflow/far/b.js' not in made


def test_the_file_returns_what_its_module_exports() -> None:
    head, tail = wrapping("const build = '1';")
    assert wrapped(head + 'var a=1;export{a as One,b};\n' + tail) == (
        "export const build='1';export default(function($$){var a=1;return{One:a,b:b};\n})")


def test_a_part_is_compiled_as_it_is_fetched(dist: Path) -> None:
    """Which engines do with a function in brackets; what minifies must leave them."""
    for path in dist.glob('edgeflow-*.js'):
        if path.name != 'edgeflow-jinja.js':
            assert re.search(r'export default\s*\(function\(', path.read_text()), path.name


def test_what_a_part_gives_has_its_own_name_although_a_member_is_called_the_same() -> None:
    parts = Parts({'near': ['edgeflow.near.*'], 'far': ['edgeflow.far.*']}, {'far': ['near']})
    made = parts.outputs({
        'edgeflow/a.js': f"const {{ 'f': f }} = await {note('edgeflow/far/b.js')};\n",
        'edgeflow/far/b.js': "import { choose } from '../near/c.js';\nexport const f = () => choose();\n",
        'edgeflow/near/c.js': 'export const choose = () => 1;\n',
    })
    assert "export const $far = () => openPart('far', $near);" in made['bundle/edgeflow/$parts.js']
    assert made['parts/near/index.js'] == "export { choose as $0 } from './edgeflow/near/c.js';\n"
    assert made['parts/far/edgeflow/$core.js'] == "export const [{ '$0': $0 }] = $$;\n"
    assert made['parts/far/index.js'] == "export { f } from './edgeflow/far/b.js';\n"


def test_what_lies_far_behind_is_taken_by_its_number() -> None:
    near = ', '.join(f'${place}' for place in range(9))
    assert core_module([], [*range(9), 90]) == f'export const [{near}] = $$, {{ 90: $90 }} = $$;\n'
    assert core_module([["'$3': $91"], []], [*range(9), 90]) == f"export const [{{ '$3': $91 }}, , {near}] = $$, {{ 92: $90 }} = $$;\n"
    assert core_module([[]], [0, 2]) == 'export const [, $0, , $2] = $$;\n'
