"""Options of public functions: flat, named, every one with a default. An unknown name is an error that names the nearest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import check_calls

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    F = TypeVar('F', bound=Callable[..., object])


def public(function: F) -> F:
    """Mark a function, coroutine function or method as public: unknown option names are EdgeflowErrors.

    Its keyword-only parameters are its options. In CPython the call is checked before it is made; in JS, where the
    options are one trailing object, the transpiler puts `check_options` at the head of the function instead.
    """
    return check_calls(function, check_options)


def check_options(given: list[str], known: list[str], where: str) -> None:
    """Raise 'unknown-option' for the first name of `given` that is not in `known`.

    where: the function as its caller knows it, for the message.
    """
    for name in given:
        if name in known:
            continue
        near = nearest(name, known)
        hint = f" Did you mean '{near}'?" if near is not None else ''
        listed = ', '.join(known) if len(known) > 0 else 'none'
        raise EdgeflowError(
            'unknown-option', f"{where} has no option '{name}'.{hint} Its options: {listed}",
            {'option': name, 'nearest': near, 'known': list(known), 'where': where},
        )


def check_choice(value: object, choices: list[str], option: str) -> None:
    """Raise 'invalid-argument' unless `value` is one of `choices`."""
    for choice in choices:
        if value == choice:
            return
    near = nearest(value, choices) if isinstance(value, str) else None
    hint = f" (did you mean '{near}'?)" if near is not None else ''
    shown = f"'{value}'" if isinstance(value, str) else str(value)
    raise EdgeflowError(
        'invalid-argument', f"{option}: expected one of {', '.join(choices)}; got {shown}{hint}",
        {'option': option, 'expected': list(choices), 'got': value},
    )


def nearest(name: str, known: list[str]) -> str | None:
    """The known name with the smallest edit distance, if it is near enough to be a slip; upper case and `_` count for nothing."""
    best: str | None = None
    best_distance = 0
    for candidate in known:
        distance = edit_distance(_plain(name), _plain(candidate))
        if best is None or distance < best_distance:
            best = candidate
            best_distance = distance
    longest = max(len(name), len(best)) if best is not None else 0
    return best if best_distance * 2 <= longest else None


def _plain(name: str) -> str:
    return name.lower().replace('_', '').replace('-', '')


def edit_distance(a: str, b: str) -> int:
    """Insertions, deletions and replacements that turn a into b (Wagner and Fischer 1974)."""
    previous = list(range(len(b) + 1))
    for i in range(len(a)):
        current = [i + 1]
        for j in range(len(b)):
            replaced = previous[j] + (0 if a[i] == b[j] else 1)
            current.append(min(replaced, previous[j + 1] + 1, current[j] + 1))
        previous = current
    return previous[len(b)]
