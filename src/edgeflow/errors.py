"""The one family of errors that edgeflow raises.

Every error has a stable ``code`` (see ERROR_CODES), a message that says what was expected and what was given, and
``details``: the same facts as fields, for programs.
"""

from __future__ import annotations

from collections.abc import Mapping

ERROR_CODES: dict[str, str] = {
    'aborted': 'the caller cancelled the work, through its signal or with cancel()',
    'checksum': 'the bytes of a file are not those that its SHA-256 or size promises',
    'closed': 'the scheduler was closed before the work ended, or is not open for more',
    'device-lost': 'the GPU was lost in the middle of the work; the next run opens it again',
    'disposed': 'a tensor, model or pipeline was used after dispose()',
    'file-missing': 'a file that the model needs is not there (HTTP 404, no such path)',
    'http': 'the server answered with an error status, or broke the connection',
    'internal': 'a fault of edgeflow itself, met in a worker; the stack says where',
    'invalid-argument': 'an argument has a value that the function does not accept',
    'invalid-graph': 'the graph breaks a rule of ONNX: arity, types, order, missing values',
    'invalid-input': 'an input of a model has a wrong name, data type or shape',
    'invalid-model': 'the bytes are no ONNX model, are cut off, or contradict themselves',
    'invalid-tokenizer': 'the tokenizer files are missing or contradict themselves',
    'not-loaded': 'a tensor operation came before load_operations() had finished',
    'out-of-memory': 'the platform refused the memory that the work needs',
    'platform': 'the platform lacks something that edgeflow cannot do without',
    'quota-exceeded': 'the platform has no room to store the file, or the budget of the cache is too small for it',
    'run-failed': 'a kernel found data that it cannot work on, such as an index out of range',
    'timeout': 'the deadline passed before the work ended',
    'unknown-option': 'an option has a name that the function does not know',
    'unsupported-op': 'no backend has this operator, or not in this version or with these types',
    'unsupported-task': 'no pipeline has this task name',
    'wrong-results': 'self_check found that a device computes other numbers than WASM',
    'worker-lost': 'the worker that held the model ended in the middle of the work; the next run starts another',
}


class EdgeflowError(Exception):
    """An error with a stable code.

    code: one of ERROR_CODES. message: a sentence with expected and got. details: the facts of the message by name, such as
    'url' and 'status' (in JS a Map).
    """

    def __init__(self, code: str, message: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code: str = code
        self.message: str = message
        self.details: Mapping[str, object] = details if details is not None else {}
