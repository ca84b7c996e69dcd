"""What the headers of answers to Range requests say (RFC 9110, sections 8.8, 14), and how long to wait before asking again."""

from __future__ import annotations

from dataclasses import dataclass

MAX_DIGITS = 15
MAX_BACKOFF = 15000.0
MAX_RETRY_AFTER = 60000.0


@dataclass(frozen=True)
class ContentRange:
    """`Content-Range: bytes start-end/size`; end is one past the last byte. Only a refusal (416) lacks start and end."""

    start: int
    end: int
    size: int


def content_range(header: str | None) -> ContentRange | None:
    """The header's content; None if it is hidden, malformed, or does not tell the size of the whole."""
    if header is None or not header.strip().startswith('bytes '):
        return None
    parts = header.strip()[6:].split('/')
    size = whole_number(parts[1]) if len(parts) == 2 else None
    if size is None:
        return None
    if parts[0].strip() == '*':
        return ContentRange(0, 0, size)
    ends = parts[0].split('-')
    first = whole_number(ends[0]) if len(ends) == 2 else None
    last = whole_number(ends[1]) if len(ends) == 2 else None
    if first is None or last is None or last < first or last >= size:
        return None
    return ContentRange(first, last + 1, size)


def whole_number(text: str | None) -> int | None:
    """The digits as a number; None for anything else."""
    digits = '' if text is None else text.strip()
    return int(digits) if digits.isdigit() and len(digits) <= MAX_DIGITS else None


def plain_encoding(header: str | None) -> bool:
    """Whether Content-Encoding says that the body is the file's own bytes."""
    return header is None or header.strip().lower() in ['', 'identity']


def validator(etag: str | None, modified: str | None) -> str:
    """What tells one version of a file from another: its strong ETag, else Last-Modified, else ''."""
    if etag is not None and etag.strip().startswith('"'):
        return etag.strip()
    return '' if modified is None else modified.strip()


def is_sha256(text: str) -> bool:
    """Whether the text is a SHA-256 in hexadecimal."""
    if len(text) != 64:
        return False
    for letter in text.lower():
        if letter not in '0123456789abcdef':
            return False
    return True


def retry_after(header: str | None) -> float | None:
    """Milliseconds that `Retry-After: seconds` asks for, at most a minute. A date there, which needs a calendar, is None."""
    seconds = whole_number(header)
    return None if seconds is None else min(seconds * 1000.0, MAX_RETRY_AFTER)


def backoff(failures: int, base: float, chance: float) -> float:
    """Milliseconds to wait after so many failures in a row: doubling from `base`, between half and all of it by `chance` (0 to 1)."""
    full = min(base * 2.0 ** min(failures - 1, 20), MAX_BACKOFF)
    return full * (0.5 + 0.5 * chance)
