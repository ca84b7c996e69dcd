"""Imports inside edgeflow point one way; design: host <- ir <- onnx, passes, plan <- backends <- runtime <- text, store <- pipelines."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / 'src' / 'edgeflow'

# A layer may import from itself and from those before it. Packages on one line do not import one another.
LAYERS: list[list[str]] = [
    ['errors', 'version'],
    ['host'],
    ['options', 'env'],
    ['ir'],
    ['onnx', 'passes', 'plan'],
    ['backends'],
    ['runtime'],
    ['text', 'store'],
    ['api', 'pipelines'],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

MODULES = sorted(path for path in SOURCE.rglob('*.py') if path != SOURCE / '__init__.py')


def package_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix('.py')


def imported_packages(path: Path) -> set[str]:
    """First-level packages of edgeflow that a module imports, type-only imports left out."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    typing_only = {
        id(child) for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING'
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('edgeflow'):
            parts = (node.module or '').split('.')
            found.update([parts[1]] if len(parts) > 1 else [alias.name for alias in node.names])
        elif isinstance(node, ast.Import):
            found.update(alias.name.split('.')[1] for alias in node.names if alias.name.startswith('edgeflow.'))
    return found


@pytest.mark.parametrize('path', MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_imports_only_from_lower_layers(path: Path) -> None:
    own = package_of(path)
    assert own in RANK, f'{own} is in no layer: add it to LAYERS'
    for other in imported_packages(path):
        assert other in RANK, f'{path.name} imports edgeflow.{other}, which is in no layer'
        assert other == own or RANK[other] < RANK[own], (
            f'edgeflow.{own} may import only from lower layers, not edgeflow.{other} ({path.relative_to(SOURCE)})'
        )


def test_there_are_modules_to_check() -> None:
    assert len(MODULES) > 40
