"""Memory scopes and leak detection of the built package in Chromium, which has `using`, and a garbage collector to ask."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from tests.conftest import PAGES
from toolchain.bundle import esbuild
from toolchain.serve import Server


def scenario(page: Page, server: Server, name: str) -> object:
    script = f'async bundle => (await import("/scope_scenarios.js")).{name}(bundle)'
    return page.evaluate(script, server.url('/dist/edgeflow.js'))


def test_using(page: Page, server: Server) -> None:
    found = scenario(page, server, 'using')
    assert found == {
        'before': 0, 'size': 3, 'nested': 1, 'early': True, 'freed': True, 'kept': [2], 'code': 'disposed', 'after': 0, 'error': True,
    }


def test_await_using(page: Page, server: Server) -> None:
    found = scenario(page, server, 'awaitUsing')
    assert found == {'sizes': [1, 3, 5], 'values': [3, 5, 1], 'alive': [True, True], 'left': 0}


def test_using_across_an_await(page: Page, server: Server) -> None:
    said: list[str] = []
    page.on('console', lambda message: said.append(f'{message.type}: {message.text}'))
    assert scenario(page, server, 'acrossAwait') == {'size': 1, 'first': True, 'second': False}
    assert len(said) == 1 and said[0].startswith('warning: ') and '`await using`' in said[0]


def test_leaks(page: Page, server: Server) -> None:
    """Two tensors and a scope are lost to the garbage collector, one tensor gets too old; the freed one is no leak."""
    said: list[str] = []
    page.on('console', lambda message: said.append(message.text))
    assert scenario(page, server, 'loseSome') == 3
    session = page.context.new_cdp_session(page)
    for _ in range(20):
        session.send('HeapProfiler.collectGarbage')
        if page.evaluate('leaks.length') >= 4:
            break
        page.wait_for_timeout(50)
    page.wait_for_timeout(150)
    leaks = page.evaluate('detecting.stop() ?? leaks.map(x => ({ ...x }))')
    by_what = {leak['what']: leak for leak in leaks}
    assert len(leaks) == 4
    assert by_what['float32 [3]']['reason'] == 'age' and by_what['float32 [3]']['age'] >= 100
    assert by_what['float32 [3]']['size'] == 12
    assert by_what['']['kind'] == 'scope'
    for what in ('float32 [2]', 'float32 [1]', ''):
        assert by_what[what]['reason'] in ('collected', 'age')
    assert any(leak['reason'] == 'collected' for leak in leaks)
    assert 'loseTensor' in by_what['float32 [2]']['stack'] and 'scope_scenarios.js' in by_what['float32 [2]']['stack']
    assert len([text for text in said if 'It was made here' in text]) == 4
    assert page.evaluate('stats().tensors') == 1


def test_using_as_esbuild_lowers_it(dist: Path, node: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """Where the platform lacks `using`, its compilers' stand-ins find the same methods."""
    target = tmp_path / 'scenarios.mjs'
    esbuild([str(PAGES / 'scope_scenarios.js'), '--target=es2022', f'--outfile={target}'])
    assert '__using' in target.read_text()
    script = f"""
        const {{ using, awaitUsing }} = await import({json.dumps(target.as_uri())});
        const bundle = {json.dumps((dist / 'edgeflow.js').as_uri())};
        console.log(JSON.stringify([await using(bundle), await awaitUsing(bundle)]));"""
    done = node('--input-type=module', '-e', script)
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    assert [first['size'], first['nested'], first['freed'], first['kept'], first['after'], first['error']] == [3, 1, True, [2], 0, True]
    assert second == {'sizes': [1, 3, 5], 'values': [3, 5, 1], 'alive': [True, True], 'left': 0}


def test_leaks_name_the_python_lines(dist: Path, node: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """In Node, with source maps: the report leads through edgeflow's Python to the caller."""
    script = f"""
        const {{ detectLeaks, tensor }} = await import({json.dumps((dist / 'edgeflow.js').as_uri())});
        const leaks = [];
        const detection = detectLeaks({{ console: false, onLeak: leak => leaks.push(leak) }});
        (function loseTensor() {{ tensor([1, 2]); }})();
        for (let i = 0; i < 20 && leaks.length === 0; i++) {{ await new Promise(resolve => setTimeout(resolve, 10)); gc(); }}
        detection.stop();
        console.log(JSON.stringify(leaks));"""
    done = node('--enable-source-maps', '--expose-gc', '--input-type=module', '-e', script)
    assert done.returncode == 0, done.stderr
    [leak] = json.loads(done.stdout)
    assert [leak['reason'], leak['kind'], leak['what']] == ['collected', 'tensor', 'float32 [2]']
    assert re.search(r'runtime/tensor\.py:\d+', leak['stack']) and 'loseTensor' in leak['stack']
