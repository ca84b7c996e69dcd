"""The key-value store on a real sqlite3 file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import bytes_of, open_store


async def test_values_come_back(cache_folder: Path) -> None:
    store = await open_store('models')
    assert await store.get('a') is None
    await store.put('a', bytes_of([1, 2, 3]))
    await store.put('a', bytes_of([4, 5]))
    await store.put('empty', bytes_of([]))
    assert bytes(await store.get('a')) == b'\4\5'
    assert bytes(await store.get('empty')) == b''
    await store.delete('a')
    await store.delete('a')
    assert await store.get('a') is None
    await store.close()


async def test_values_outlive_the_store(cache_folder: Path) -> None:
    store = await open_store('models')
    await store.put('k', bytes_of([9]))
    await store.close()
    again = await open_store('models')
    assert bytes(await again.get('k')) == b'\x09'
    other = await open_store('other')
    assert await other.get('k') is None
    await again.close()
    await other.close()
    assert sorted(p.name for p in cache_folder.glob('*.sqlite3')) == ['models.sqlite3', 'other.sqlite3']


async def test_it_fetches_nothing_itself(cache_folder: Path) -> None:
    store = await open_store('models')
    await store.put('k', bytes_of([9]))
    assert await store.fetch('http://127.0.0.1:9/', {}, None, 'default') is None
    assert await store.place('k') is None
    await store.close()


async def test_keys_by_prefix(cache_folder: Path) -> None:
    store = await open_store('models')
    for key in ['b/2', 'a/1', 'b/1', 'b%', '%']:
        await store.put(key, bytes_of([0]))
    assert await store.keys('b/') == ['b/1', 'b/2']
    assert await store.keys('%') == ['%']
    assert await store.keys('') == ['%', 'a/1', 'b%', 'b/1', 'b/2']
    await store.close()


async def test_many_at_once(cache_folder: Path) -> None:
    first, second = await open_store('models'), await open_store('models')
    stores = [first, second]
    await asyncio.gather(*(stores[i % 2].put(f'k{i:02}', bytes_of([i])) for i in range(40)))
    assert len(await first.keys('k')) == 40
    assert bytes(await second.get('k07')) == b'\x07'
    await first.close()
    await second.close()


async def test_a_closed_store_says_so(cache_folder: Path) -> None:
    store = await open_store('models')
    await store.close()
    with pytest.raises(EdgeflowError) as e:
        await store.get('a')
    assert e.value.code == 'platform'


async def test_a_folder_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'file').write_text('x')
    monkeypatch.setenv('EDGEFLOW_CACHE', str(tmp_path / 'file'))
    with pytest.raises(EdgeflowError) as e:
        await open_store('models')
    assert e.value.code == 'platform'
