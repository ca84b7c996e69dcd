"""An ONNX model with the external data files that it names."""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import json_parse, utf8_decode
from edgeflow.host.port import AbortSignal, Bytes
from edgeflow.runtime.opening import MODEL, Receiver
from edgeflow.store.downloads import discard
from edgeflow.store.files import Wanted, find_file, load_files
from edgeflow.store.hub import Repository, choose_dtype, expected_external_files, onnx_file, sibling
from edgeflow.store.progress import Progress


async def load_model_files(
    address: str, name: str, expected: list[str], into: Receiver, progress: Progress, signal: AbortSignal | None,
) -> None:
    """Load the model at `address`, called `name` in progress events, with its external data, into what takes it.

    expected: names of external data files (in the model's own folder) that are known beforehand and so are fetched
    beside the model; one that is absent after all is no error unless the model does name it.
    EdgeflowErrors: those of store.files, and 'invalid-model'.
    """
    wanted = [Wanted(address, name, False, into, MODEL)]
    for file in expected:
        wanted.append(Wanted(sibling(address, file), beside(name, file), True, into, file))

    async def forget() -> None:
        """A file that a server cut short must not be found in the cache again."""
        for file in wanted:
            await discard(file.address)

    into.on_invalid = forget
    loaded = await load_files(wanted, progress, signal)
    try:
        named = await into.external_files()
    except EdgeflowError as error:
        if error.code == 'invalid-model':
            await forget()
        raise
    late: list[Wanted] = []
    for file in named:
        if file not in expected or loaded[1 + expected.index(file)] is None:
            late.append(Wanted(sibling(address, file), beside(name, file), False, into, file))
    wanted.extend(late)
    await load_files(late, progress, signal)


def beside(name: str, file: str) -> str:
    """The name that progress events give `file`, which lies in the same folder as the file `name`."""
    return name[:name.rfind('/') + 1] + file


async def load_config(repository: Repository, progress: Progress, signal: AbortSignal | None) -> dict[str, object]:
    """A repository's config.json; empty if there is none. 'invalid-model' if it is no JSON object."""
    data = await find_file(repository.address('config.json'), 'config.json', progress, signal)
    return {} if data is None else parse_config(data, repository.address('config.json'))


def parse_config(data: Bytes, address: str) -> dict[str, object]:
    """The bytes of a configuration file as a dict; 'invalid-model' if they are no JSON object."""
    try:
        config = json_parse(utf8_decode(data))
    except ValueError as error:
        raise EdgeflowError('invalid-model', f'{address}: expected JSON; {error}', {'url': address}) from error
    if not isinstance(config, dict):
        raise EdgeflowError('invalid-model', f'{address}: expected a JSON object', {'url': address})
    return config


async def load_onnx(
    repository: Repository, config: dict[str, object], file: str, dtype: str, device: str, subfolder: str,
    into: Receiver, progress: Progress, signal: AbortSignal | None,
) -> None:
    """Load the model `file` of a repository in the data type that the options and config.json choose, with its external data."""
    path = onnx_file(file, choose_dtype(dtype, config, file, device), subfolder)
    expected = expected_external_files(config, path)
    await load_model_files(repository.address(path), path, expected, into, progress, signal)
