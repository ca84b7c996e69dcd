"""A model whose weights take more than 2 GiB, one file of them alone too: from the network into a worker and the cache, then from the cache."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from playwright.sync_api import Browser

from tests.browser.test_store import launch_options_of
from toolchain.serve import Server

WIDTH = 64
ROWS = {'first.bin': (2_200_000_000 // WIDTH // 4), 'second.bin': (300_000_000 // WIDTH // 4)}
LOAD = """async ([module, url, rows]) => {
  const { loadModel, tensor } = await import(module);
  const model = await loadModel(url);
  const outputs = [];
  for (const row of rows) outputs.push(Array.from(Object.values(await model.run({ ids: tensor([row], null, 'int64') }))[0].data));
  model.dispose();
  return outputs;
}"""
STORED = """async ([module, names]) => {
  const { cache } = await import(module);
  const files = await cache.list();
  return names.every(name => files.some(({ url, complete, size, stored }) => url.endsWith(name) && complete && size === stored));
}"""


def row_of(file: str, row: int) -> np.ndarray:
    return (np.arange(WIDTH) + (7 if file == 'first.bin' else 0.5) + row % 1000).astype(np.float32)


@pytest.fixture
def folder() -> Iterator[Path]:
    """y = first[ids] + second[ids % rows of second]; but for a few rows the tables are holes in the files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tensors = []
        for file, rows in ROWS.items():
            with (folder / file).open('wb') as out:
                out.truncate(rows * WIDTH * 4)
                for row in marked(rows):
                    out.seek(row * WIDTH * 4)
                    out.write(row_of(file, row).tobytes())
            tensor = TensorProto(name=file, data_type=TensorProto.FLOAT, dims=[rows, WIDTH], data_location=TensorProto.EXTERNAL)
            for key, value in {'location': file, 'offset': 0, 'length': rows * WIDTH * 4}.items():
                tensor.external_data.add(key=key, value=str(value))
            tensors.append(tensor)
        tensors.append(helper.make_tensor('rows', TensorProto.INT64, [], [ROWS['second.bin']]))
        nodes = [
            helper.make_node('Gather', ['first.bin', 'ids'], ['a']), helper.make_node('Mod', ['ids', 'rows'], ['other']),
            helper.make_node('Gather', ['second.bin', 'other'], ['b']), helper.make_node('Add', ['a', 'b'], ['y']),
        ]
        graph = helper.make_graph(
            nodes, 'tables', [helper.make_tensor_value_info('ids', TensorProto.INT64, ['n'])],
            [helper.make_tensor_value_info('y', TensorProto.FLOAT, ['n', WIDTH])], tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
        (folder / 'model.onnx').write_bytes(model.SerializeToString())
        yield folder


def marked(rows: int) -> list[int]:
    """Rows that are not zero: at both ends, in the middle, and around 2 GiB where there is one."""
    edge = (1 << 31) // (WIDTH * 4)
    return [0, 1, rows // 2, rows - 1] + ([edge - 1, edge] if edge < rows else [])


def test_weights_of_more_than_two_gigabytes(browser: Browser, server: Server, folder: Path, say: Callable[[str], None]) -> None:
    first, second = ROWS.values()
    asked = marked(first)
    zero = np.zeros(WIDTH, np.float32)
    expected = [
        (row_of('first.bin', row) + (row_of('second.bin', row % second) if row % second in marked(second) else zero)).tolist() for row in asked]
    names = ['model.onnx', *ROWS]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, Server({'/large': folder}) as hub:
        context = browser.browser_type.launch_persistent_context(profile, **launch_options_of(browser.browser_type))
        page = context.new_page()
        page.goto(server.url('/blank.html'))
        page.set_default_timeout(300_000)
        arguments = [server.url('/dist/edgeflow.js'), hub.url('/large/model.onnx'), asked]
        assert page.evaluate(LOAD, arguments) == expected
        page.wait_for_function(STORED, arg=[arguments[0], names])
        sent = len(hub.site.log)
        began = page.evaluate('performance.now()')
        assert page.evaluate(LOAD, arguments) == expected
        say(f'a model of 2.5 GB from the cache: {(page.evaluate("performance.now()") - began) / 1000:.1f} s')
        assert len(hub.site.log) == sent, 'all of it comes from the cache'
        context.close()
