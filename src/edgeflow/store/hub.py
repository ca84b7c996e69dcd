"""Where the files of a model are: Hugging Face's layout of repositories, on the hub, on another server or on disk."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import is_url
from edgeflow.host.port import AbortSignal
from edgeflow.options import check_choice
from edgeflow.store.files import find_file
from edgeflow.store.progress import Progress

# dtype option -> suffix of the ONNX file, as transformers.js names them.
DTYPE_SUFFIXES: dict[str, str] = {
    'fp32': '', 'fp16': '_fp16', 'q8': '_quantized', 'int8': '_int8', 'uint8': '_uint8', 'q4': '_q4', 'q4f16': '_q4f16',
    'bnb4': '_bnb4',
}

ID_CHARACTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./'


# Addresses and paths give these a meaning of their own ('%2e%2e' is '..' to a URL parser).
UNSAFE_IN_LOCATIONS = '\\:?#%'


@dataclass(frozen=True)
class Repository:
    """A folder of model files. `base` is its address or path and ends in '/'."""

    source: str
    base: str

    def address(self, file: str) -> str:
        """Where the file of this name, relative to the folder, is."""
        return self.base + file


def is_path(source: str) -> bool:
    """Whether a source names a folder or file by its path rather than a model of the hub.

    Paths start with '/', '.' or 'file:', have a backslash or a drive, or more than one '/'; ids are 'name' or 'org/name'.
    'org/name'.
    """
    if source.startswith(('/', '.', 'file:')) or '\\' in source or source[1:2] == ':':
        return True
    return len(source.split('/')) > 2


def check_id(model: str) -> None:
    """Raise 'invalid-argument' unless `model` looks like 'name' or 'org/name'."""
    good = model != '' and '..' not in model and not model.endswith('/')
    for character in model:
        good = good and character in ID_CHARACTERS
    if not good:
        raise EdgeflowError(
            'invalid-argument', f"model: expected 'org/name', an address or a path; got '{model}'", {'got': model},
        )


def remote_base(model: str, revision: str) -> str:
    """Address of a model's folder on env.remote_host, ending in '/'."""
    path = env.remote_path_template.replace('{model}', model).replace('{revision}', revision.replace('/', '%2F'))
    return as_folder(as_folder(env.remote_host) + path)


def as_folder(address: str) -> str:
    """The address, ending in '/'."""
    return address if address.endswith('/') else address + '/'


async def find_repository(source: str, revision: str, progress: Progress, signal: AbortSignal | None) -> Repository:
    """The folder that `source` means: an address, a path, or an id ('org/name').

    An id is looked for in env.local_model_path (the folder must have config.json), then on env.remote_host.
    EdgeflowError 'file-missing' if env allows neither or the only one allowed does not have it.
    """
    if is_url(source):
        return Repository(source, as_folder(source))
    if is_path(source):
        return Repository(source, as_folder(source))
    check_id(source)
    if env.allow_local_models and env.local_model_path is not None:
        local = as_folder(env.local_model_path) + source + '/'
        if not env.allow_remote_models:
            return Repository(source, local)
        if await find_file(local + 'config.json', 'config.json', progress, signal) is not None:
            return Repository(source, local)
    if not env.allow_remote_models:
        raise EdgeflowError(
            'file-missing', f"'{source}': env.allow_remote_models is off, and there is no env.local_model_path to look in",
            {'model': source},
        )
    return Repository(source, remote_base(source, revision))


def onnx_file(name: str, dtype: str, subfolder: str = 'onnx') -> str:
    """Name of a model's file in its folder: 'onnx/model_quantized.onnx' for ('model', 'q8')."""
    file = name + DTYPE_SUFFIXES[dtype] + '.onnx'
    return as_folder(subfolder) + file if subfolder != '' else file


def check_dtype(dtype: object) -> None:
    """Raise 'invalid-argument' unless the option `dtype` has a value that is known."""
    check_choice(dtype, ['auto', *DTYPE_SUFFIXES.keys()], 'dtype')


def choose_dtype(dtype: str, config: dict[str, object], name: str, device: str) -> str:
    """The data type to load for the file `name` ('model', 'decoder_model_merged', ...), given the option `dtype`.

    'auto' takes what the model's config.json asks for in "transformers.js_config" (for this device, then in general),
    else 'fp32': the one file that every repository has, and the numbers as they were published.
    """
    check_dtype(dtype)
    if dtype != 'auto':
        return dtype
    settings = _dict(config.get('transformers.js_config'))
    # What any of several devices can run is what the last one asks for.
    last = device.split(',')[-1]
    for_device = _dict(_dict(settings.get('device_config')).get('wasm' if last in ['auto', 'fastest'] else last))
    for wish in [for_device.get('dtype'), settings.get('dtype')]:
        chosen = _dict(wish).get(name) if isinstance(wish, dict) else wish
        if isinstance(chosen, str) and chosen != 'auto':
            check_choice(chosen, list(DTYPE_SUFFIXES.keys()), "dtype in config.json's transformers.js_config")
            return chosen
    return 'fp32'


def expected_external_files(config: dict[str, object], file: str) -> list[str]:
    """The external data files that config.json announces for an ONNX file, so that they can be fetched beside it.

    file: as `onnx_file` gives it. "use_external_data_format" is a bool or number of parts for all files, or says so for
    each base name. The names, relative to the ONNX file, are 'model.onnx_data', 'model.onnx_data_1', ... The model itself has the last word.
    """
    wish = _dict(config.get('transformers.js_config')).get('use_external_data_format')
    if isinstance(wish, dict):
        base = file.split('/')[-1]
        stem = base[:-len('.onnx')]
        by_name = _dict(wish)
        wish = by_name.get(base, by_name.get(stem))
    if isinstance(wish, bool):
        parts = 1 if wish else 0
    else:
        parts = wish if isinstance(wish, int) else 0
    names: list[str] = []
    for part in range(min(parts, 100)):
        names.append(file.split('/')[-1] + '_data' + (f'_{part}' if part > 0 else ''))
    return names


def _dict(value: object) -> dict[str, object]:
    """The value if it is a dict, else an empty one: config.json comes from outside."""
    return value if isinstance(value, dict) else {}


def sibling(address: str, name: str) -> str:
    """Address of the file `name` in the same folder as the file at `address`; a query is kept, a fragment is not.

    name: relative, from a model file, so from outside: EdgeflowError 'invalid-model' if it leaves the folder.
    """
    bad = name == '' or name.startswith('/') or '..' in name.split('/')
    for character in name:
        bad = bad or character in UNSAFE_IN_LOCATIONS or character < ' '
    if bad:
        raise EdgeflowError(
            'invalid-model', f"external data: expected a file beside the model, got the location '{name}'", {'got': name},
        )
    query = ''
    path: str = address
    if is_url(address):
        path = address.split('#')[0]
        start = path.find('?')
        if start >= 0:
            query = path[start:]
            path = path[:start]
    end = max(path.rfind('/'), path.rfind('\\')) + 1
    return path[:end] + name + query
