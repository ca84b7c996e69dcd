"""ONNX's backend tests (nodes; simple, pytorch-operator, pytorch-converted, light) and models of scikit-learn on edgeflow: in CPython through wasmtime and in Chromium.

`python -m tests.conformance.run`: all cases in both, compared with the lists beside this file; ends with 1 where they differ.
  --write           write the lists: passing.txt (what passes in both) and rest.txt (the others with their reasons)
  --filter TEXT     only cases whose name or operator contains it (`--filter op:Resize`: exactly this operator); several may be given
  --only cpython    or chromium
  --device webgpu   on the GPU, where WASM does what the GPU lacks; also counts those that need no WASM. SwiftShader, unless EDGEFLOW_GPU=hardware
  --planned         all inputs but the first as initializers; for work on operators whose shapes depend on data
  -x                end with the first failure; in CPython with its trace
  --reasons         count the failures by reason
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.conformance import in_chromium, in_cpython
from tests.conformance.cases import SUITES, Case, all_cases, planned
from tests.conformance.sklearn_cases import sklearn_cases
from toolchain.gpu import use_software_gpu

PASSING = Path(__file__).parent / 'passing.txt'
REST = Path(__file__).parent / 'rest.txt'


def recorded() -> set[str]:
    """The cases that pass, by the list."""
    return set(PASSING.read_text().splitlines()) if PASSING.exists() else set()


def chosen(filters: list[str]) -> list[Case]:
    def wanted(case: Case) -> bool:
        return not filters or any(f[3:] in case.ops if f.startswith('op:') else f in case.name for f in filters)

    return [case for name, case in sorted({**all_cases(), **sklearn_cases()}.items()) if wanted(case)]


def in_python(cases: list[Case], device: str, trace: bool) -> Iterator[tuple[Case, str | None, bool]]:
    if device == 'webgpu' and not use_software_gpu():
        raise RuntimeError('no SwiftShader: run `npm ci`, whose Chromium brings it')
    for case in cases:
        yield case, *in_cpython.judge(case, device, trace=trace)


def kind_of(reason: str) -> str:
    """A reason without the names and numbers of its case."""
    return re.sub(r"\(node '.*?'\)|'[^']*'|[\d.]+", '_', reason)[:110]


def report(title: str, verdicts: dict[str, str | None], whole: set[str] | None, seconds: float, *, reasons: bool) -> None:
    """whole: the cases with every operator on the device, if that is not WASM."""
    failed = {name: reason for name, reason in verdicts.items() if reason is not None}
    for suite in ['node', *SUITES, 'sklearn']:
        names = [name for name in verdicts if (name.split('/')[0] if '/' in name else 'node') == suite]
        if names:
            on_device = '' if whole is None else f', {len(whole.intersection(names))} with every operator on the device'
            print(f'{title}, {suite}: {len([name for name in names if name not in failed])} of {len(names)} pass{on_device}')
    print(f'{title}: {seconds:.0f} s')
    if reasons:
        for reason, count in Counter(kind_of(reason) for reason in failed.values()).most_common(60):
            print(f'  {count:4} {reason}')
    elif len(failed) <= 60:
        for name, reason in failed.items():
            print(f'  {name}: {reason}')


def compare(both: dict[str, str | None], asked: set[str]) -> int:
    """1 where what passes differs from the list."""
    listed = recorded() & asked
    passing = {name for name, reason in both.items() if reason is None}
    for name in sorted(listed - passing):
        print(f'no longer passes: {name}: {both[name]}')
    for name in sorted(passing - listed):
        print(f'passes, but is not in passing.txt: {name}')
    return int(listed != passing)


def write(both: dict[str, str | None]) -> None:
    PASSING.write_text(''.join(f'{name}\n' for name in sorted(both) if both[name] is None))
    REST.write_text(''.join(f'{name}: {both[name]}\n' for name in sorted(both) if both[name] is not None))


def main() -> int:
    parser = argparse.ArgumentParser(prog='python -m tests.conformance.run')
    parser.add_argument('--filter', action='append', default=[])
    parser.add_argument('--only', choices=['cpython', 'chromium'])
    parser.add_argument('--device', default='wasm')
    parser.add_argument('-x', dest='first', action='store_true')
    parser.add_argument('--write', action='store_true')
    parser.add_argument('--planned', action='store_true')
    parser.add_argument('--reasons', action='store_true')
    options = parser.parse_args()
    cases = chosen(options.filter)
    if options.planned:
        cases = [made for case in cases for made in planned(case)]
    both: dict[str, str | None] = {}
    runners = {
        'cpython': lambda: in_python(cases, options.device, options.first),
        'chromium': lambda: in_chromium.judge_all(cases, options.device),
    }
    for title, runner in runners.items():
        if options.only not in (None, title):
            continue
        started = time.monotonic()
        verdicts: dict[str, str | None] = {}
        whole: set[str] = set()
        for case, reason, on_device in runner():
            verdicts[case.name] = reason
            if reason is None and on_device:
                whole.add(case.name)
            if reason is not None and both.get(case.name) is None:
                both[case.name] = reason if options.only or title == 'cpython' else f'in Chromium {reason}'
            else:
                both.setdefault(case.name, None)
            if reason is not None and options.first:
                print(f'{case.name}: {reason}')
                return 1
        report(title, verdicts, None if options.device == 'wasm' else whole, time.monotonic() - started, reasons=options.reasons)
    if options.write:
        if options.filter or options.device != 'wasm' or options.only or options.planned:
            parser.error('the lists are written of all cases in both runtimes')
        write(both)
        return 0
    return compare(both, {case.name for case in cases}) if not options.only and not options.planned and options.device == 'wasm' else 0


if __name__ == '__main__':
    sys.exit(main())
