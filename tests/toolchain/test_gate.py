"""What is not in the subset is refused with file, line and what to write instead."""

from __future__ import annotations

import pytest

from tests.toolchain.both_runtimes import compile_snippet

REFUSED = [
    ("match x:\n    case 1:\n        pass\n", 1, "match"),
    ("from os import path\n", 1, "edgeflow.host.platform"),
    ("import json\n", 1, "json_parse"),
    ("from edgeflow.nowhere import thing\n", 1, "no module"),
    ("from dataclasses import *\n", 1, "star import"),
    ("from . import x\n", 1, "relative import"),
    ("def f() -> None:\n    import math\n", 2, "inside a function"),
    ("def f() -> None:\n    from math import pi\n", 2, "not async"),
    ("async def f(x: bool) -> float:\n    if x:\n        from math import pi\n    return pi\n", 4, "outside of the block"),
    ("class A:\n    pass\nclass B:\n    pass\nclass C(A, B):\n    pass\n", 5, "multiple inheritance"),
    ("class A(metaclass=type):\n    pass\n", 1, "metaclass"),
    ("class A:\n    def __add__(self, other: int) -> int:\n        return 1\n", 2, "operator overloading"),
    ("class A:\n    class B:\n        pass\n", 2, "class inside"),
    ("def f(*args: int) -> None:\n    pass\n", 1, "one list parameter"),
    ("def f(**options: int) -> None:\n    pass\n", 1, "keyword-only"),
    ("def f(xs: list[int] = []) -> None:\n    pass\n", 1, "default"),
    ("def f(foo_bar: int, fooBar: int) -> None:\n    pass\n", 1, "both fooBar"),
    ("class A:\n    def foo_bar(self) -> None:\n        pass\n    def fooBar(self) -> None:\n        pass\n", 4, "both fooBar"),
    ("class A:\n    def constructor(self) -> None:\n        pass\n", 2, "belongs to JS"),
    ("try:\n    pass\nexcept:\n    pass\n", 3, "bare except"),
    ("x = 'a %s' % 1\n", 1, "f-string"),
    ("x = '{}'.format(1)\n", 1, "f-string"),
    ("def f(x: str) -> str:\n    return x.format(1)\n", 2, "f-string"),
    ("x = {(1, 2): 3}\n", 1, "tuple as a dict key"),
    ("def f(x: object) -> object:\n    return getattr(x, 'y')\n", 2, "getattr"),
    ("def f() -> None:\n    x = 1\n    del x\n", 3, "del of a name"),
    ("x = 1\ndef f() -> None:\n    global x\n    x = 2\n", 3, "global"),
    ("def f(a: int) -> int:\n    return a\nf(b=1)\n", 3, "no parameter 'b'"),
    ("def f(a: int, b: int) -> int:\n    return a\nf(1)\n", 3, "missing the argument 'b'"),
    ("def f(a: int) -> int:\n    return a\nf(1, 2)\n", 3, "takes 1 positional"),
    ("x = undefined_name\n", 1, "not defined"),
    ("class A(Exception):\n    def __init__(self) -> None:\n        self.x = 1\n        super().__init__('m')\n", 2, "super().__init__"),
    ("x = 10 ** 30\nMap = 3\n", 1, "hides a JS global"),
    ("x = 99999999999999999999\n", 1, "2**53"),
    ("def deco(f: object) -> object:\n    return f\n@deco\ndef g() -> None:\n    pass\n", 3, "decorator"),
]


@pytest.mark.parametrize(("source", "line", "text"), REFUSED)
def test_refused(source: str, line: int, text: str) -> None:
    _, errors = compile_snippet(source)
    assert any(error.startswith(f"snippet.py:{line}: ") and text in error for error in errors), errors


def test_all_errors_at_once() -> None:
    _, errors = compile_snippet("import json\nimport os\nx = '%s' % 1\n")
    assert [error.split(":")[1] for error in errors] == ["1", "2", "3"]


def test_accepted_module_has_no_errors() -> None:
    _, errors = compile_snippet("from __future__ import annotations\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import os\nx: int = 1\n")
    assert errors == []
