"""What headers of partial answers say, waiting times, and the digest."""

from __future__ import annotations

import pytest

from edgeflow.host.platform import new_bytes, new_sha256, utf8_encode
from edgeflow.store.ranges import (
    ContentRange, backoff, content_range, is_sha256, plain_encoding, retry_after, validator, whole_number,
)


@pytest.mark.parametrize('case', [
    ['bytes 0-9/100', 0, 10, 100], [' bytes 5-5/6 ', 5, 6, 6], ['bytes */0', 0, 0, 0], ['bytes */77', 0, 0, 77],
])
def test_content_ranges(case: list) -> None:
    assert content_range(case[0]) == ContentRange(case[1], case[2], case[3])


@pytest.mark.parametrize('header', [
    None, '', 'bytes 0-9/*', 'bytes 9-0/100', 'bytes 0-100/100', 'items 0-1/2', 'bytes -1-2/5', 'bytes 0-1', 'bytes 1/2/3', 'bytes a-b/c',
])
def test_ranges_that_tell_nothing(header: str | None) -> None:
    assert content_range(header) is None


@pytest.mark.parametrize('case', [
    ['12', 12], [' 12 ', 12], ['0', 0], [None, None], ['', None], ['-1', None], ['1e3', None], ['9999999999999999', None],
])
def test_whole_numbers(case: list) -> None:
    assert whole_number(case[0]) == case[1]


def test_encodings() -> None:
    assert plain_encoding(None) and plain_encoding('') and plain_encoding(' Identity ')
    assert not plain_encoding('gzip') and not plain_encoding('BR')


def test_validators() -> None:
    assert validator('"a"', 'today') == '"a"'
    assert validator('W/"a"', ' today ') == 'today'
    assert validator(None, None) == ''


def test_waiting() -> None:
    assert [backoff(failures, 100.0, 1.0) for failures in [1, 2, 3, 30]] == [100.0, 200.0, 400.0, 15000.0]
    assert backoff(1, 100.0, 0.0) == 50.0
    assert [retry_after(header) for header in ['2', '0', '99999', 'Wed, 21 Oct 2026 07:28:00 GMT', None]] == [2000.0, 0.0, 60000.0, None, None]


@pytest.mark.parametrize('case', [
    ['', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
    ['abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
    ['abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq', '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1'],
])
def test_digests_of_fips_180(case: list) -> None:
    whole = new_sha256()
    whole.update(utf8_encode(case[0]))
    assert whole.hex() == case[1]
    assert is_sha256(case[1]) and not is_sha256(case[1][1:]) and not is_sha256('g' + case[1][1:])


def test_a_digest_of_parts() -> None:
    data = new_bytes(1000)
    for i in range(1000):
        data[i] = i % 251
    for cuts in [[0, 1000], [0, 1, 1000], [0, 63, 64, 65, 128, 1000], [0, 55, 120, 504, 1000], [0, 500, 500, 1000]]:
        parts = new_sha256()
        for i in range(len(cuts) - 1):
            parts.update(data[cuts[i]:cuts[i + 1]])
        assert parts.hex() == '4e4c294b331f7a2099a379bec34b9f9fc03dc46ab465d998f4d683da53487e6d'
