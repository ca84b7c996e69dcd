"""Leak detection: which tensors, models and scopes were never freed, and where they were made.

A leak is what was collected as garbage without being freed, or a tensor or scope that lives longer than an age limit
(models and pipelines are made to live). Each is reported once. While nobody detects leaks, nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import call_later, call_stack, now, warn
from edgeflow.options import public

# These are made to live; no age makes them a leak.
LONG_LIVED = ['model', 'pipeline']


@dataclass(frozen=True)
class Leak:
    """Something that was not freed.

    reason: 'age' if it outlived the age limit, 'collected' if it was collected as garbage without dispose().
    kind: 'tensor', 'model', 'pipeline' or 'scope'. what: its type or name. size: its bytes.
    age: milliseconds since it was made. stack: the calls that made it.
    """

    reason: Literal['age', 'collected']
    kind: str
    what: str
    size: int
    age: float
    stack: str


@dataclass(frozen=True)
class Birth:
    """What is remembered of a resource while leaks are detected."""

    number: int
    kind: str
    what: str
    size: int
    time: float
    stack: str


class LeakDetection:
    """What detect_leaks() gives: leaks are reported until stop()."""

    def __init__(self, age_limit: float, on_leak: Callable[[Leak], None] | None, console: bool, clock: Callable[[], float]) -> None:
        self._age_limit = age_limit
        self._on_leak = on_leak
        self._console = console
        self._clock = clock
        # In the order in which they were made: the oldest first.
        self._young: dict[int, Birth] = {}
        self._forget_timer: Callable[[], None] | None = None

    def check(self) -> None:
        """Report now what is older than the age limit; otherwise it happens as the limit passes."""
        limit = self._clock() - self._age_limit
        old: list[Birth] = []
        for birth in self._young.values():
            if birth.time > limit:
                break
            old.append(birth)
        for birth in old:
            self._young.pop(birth.number)
        for birth in old:
            self._report('age', birth)

    def stop(self) -> None:
        """Detect no more. Doing it twice is no error."""
        if _detecting.detection is self:
            _detecting.detection = None
        self._young.clear()
        self._wait_no_more()

    def born(self, number: int, kind: str, what: str, size: int) -> Birth:
        """Internal: a resource was made."""
        self.check()
        birth = Birth(number, kind, what, size, self._clock(), call_stack())
        if kind not in LONG_LIVED:
            self._young[number] = birth
            self._wait()
        return birth

    def freed(self, number: int) -> None:
        """Internal: a resource was freed."""
        self._young.pop(number, None)
        if len(self._young) == 0:
            self._wait_no_more()

    def collected(self, birth: Birth) -> None:
        """Internal: a resource was collected as garbage. What was too old already has been reported."""
        if birth.kind in LONG_LIVED or self._young.pop(birth.number, None) is not None:
            self._report('collected', birth)

    def _report(self, reason: Literal['age', 'collected'], birth: Birth) -> None:
        leak = Leak(reason, birth.kind, birth.what, birth.size, self._clock() - birth.time, birth.stack)
        if self._console:
            warn(leak_text(leak))
        if self._on_leak is not None:
            self._on_leak(leak)

    def _wait(self) -> None:
        if self._forget_timer is None and self._age_limit < float('inf'):
            self._forget_timer = call_later(self._age_limit, self._time_is_over)

    def _wait_no_more(self) -> None:
        if self._forget_timer is not None:
            self._forget_timer()
            self._forget_timer = None

    def _time_is_over(self) -> None:
        self._forget_timer = None
        self.check()
        if len(self._young) > 0:
            self._wait()


@dataclass
class _Detecting:
    detection: LeakDetection | None = field(default=None)


_detecting = _Detecting()


def detection() -> LeakDetection | None:
    """The one that runs, if any."""
    return _detecting.detection


def leak_text(leak: Leak) -> str:
    """What the console says."""
    fate = 'was collected as garbage without dispose()' if leak.reason == 'collected' else f'still lives after {leak.age / 1000:.1f} s'
    return f'edgeflow: a {leak.kind} ({leak.what}, {leak.size} bytes) {fate}. It was made here:\n{leak.stack}'


@public
def detect_leaks(
    *, age_limit: float = 60000.0, on_leak: Callable[[Leak], None] | None = None, console: bool = True,
) -> LeakDetection:
    """Report, from now on, what is made and not freed. A second call ends the first one's detection.

    age_limit: milliseconds after which a living tensor or scope counts as a leak; inf: only what is collected does.
    on_leak: hears of every leak, once. console: whether the console (in Python: warnings) hears of it too.
    EdgeflowError 'invalid-argument' for a negative age limit.
    """
    return start_detection(age_limit, on_leak, console, now)


def start_detection(
    age_limit: float, on_leak: Callable[[Leak], None] | None, console: bool, clock: Callable[[], float],
) -> LeakDetection:
    """detect_leaks() with a clock that gives milliseconds."""
    if not age_limit >= 0:
        raise EdgeflowError('invalid-argument', f'age_limit: expected milliseconds from 0 up, got {age_limit}', {'got': age_limit})
    running = _detecting.detection
    if running is not None:
        running.stop()
    started = LeakDetection(age_limit, on_leak, console, clock)
    _detecting.detection = started
    return started
