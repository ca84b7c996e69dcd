"""Run cases in Chromium, through the built package."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Error, Page

from tests.conformance.cases import Case, complaint
from tests.conformance.values import Plain, Value
from toolchain.browser import open_browser
from toolchain.build import build
from toolchain.paths import DIST
from toolchain.serve import Server

BATCH = 25
RUN = """async ([cases, device]) => (await import('/page.js')).runCases('/dist/edgeflow.js', cases, device)"""


def packed(value: Value) -> object:
    if value is None:
        return None
    if isinstance(value, list):
        return [packed(x) for x in value]
    data = value.data if isinstance(value.data, list) else base64.b64encode(value.data).decode()
    return {'dtype': value.dtype, 'shape': value.shape, 'storage': value.storage(), 'data': data}


def unpacked(record: object) -> Value:
    if record is None:
        return None
    if isinstance(record, list):
        return [unpacked(x) for x in record]
    data = record['data']
    return Plain(record['dtype'], record['shape'], data if isinstance(data, list) else base64.b64decode(data))


def judge_batch(page: Page, cases: list[Case], device: str) -> list[tuple[str | None, bool]]:
    """Why each case fails, None where it passes; and whether all of it ran on the device."""
    given = [{
        'model': base64.b64encode(case.model).decode(),
        'runs': [{name: packed(x) for name, x in inputs.items()} for inputs, _ in case.runs],
    } for case in cases]
    verdicts: list[tuple[str | None, bool]] = []
    for case, answer in zip(cases, page.evaluate(RUN, [given, device]), strict=True):
        if 'error' in answer:
            verdicts.append((answer['error'], False))
            continue
        wrong = [complaint(case, i, {name: unpacked(x) for name, x in outputs.items()}) for i, outputs in enumerate(answer['results'])]
        verdicts.append((next((text for text in wrong if text is not None), None), answer['whole']))
    return verdicts


def judge_in_page(browser: Browser, server: Server, cases: list[Case], device: str) -> list[tuple[str | None, bool]]:
    """As judge_batch(), in a page of its own; where that ends the page, each case in one."""
    page = browser.new_page()
    page.goto(server.url('/blank.html'))
    try:
        return judge_batch(page, cases, device)
    except Error as error:
        if 'crashed' not in error.message:
            raise
        if len(cases) == 1:
            return [('crash: the page ended', False)]
        return [judge_in_page(browser, server, [case], device)[0] for case in cases]
    finally:
        page.close()


def judge_all(cases: list[Case], device: str = 'wasm') -> Iterator[tuple[Case, str | None, bool]]:
    """Run the cases in batches, each batch in a page of its own; with each verdict whether all of it ran on the device."""
    build(report=False)
    with Server({'/': Path(__file__).parent, '/dist': DIST}) as server, open_browser() as browser:
        for start in range(0, len(cases), BATCH):
            batch = cases[start:start + BATCH]
            for case, (reason, whole) in zip(batch, judge_in_page(browser, server, batch, device), strict=True):
                yield case, reason, whole
