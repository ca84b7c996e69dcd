"""What every text pipeline has: a model, its tokenizer, its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_of
from edgeflow.ir.graph import ValueInfo
from edgeflow.runtime.memory import Resource
from edgeflow.runtime.model import Model, RunOptions
from edgeflow.runtime.tensor import Tensor, numbers
from edgeflow.text.tokenizer import Encoded, Row, Tokenizer


@dataclass(frozen=True)
class TextOutput:
    """What a model made of a batch of texts."""

    encoded: Encoded
    tensor: Tensor


class Pipeline(Resource):
    """A task with its model. Call it, or run(), with inputs; dispose() frees the model's memory.

    task: its name. model, tokenizer: what it runs. config: the model's config.json (in JS a Map).
    """

    def __init__(self, task: str, model: Model, tokenizer: Tokenizer, config: dict[str, object]) -> None:
        super().__init__()
        self.task = task
        self.model = model
        self.tokenizer = tokenizer
        self.config: Mapping[str, object] = config
        self._begin('pipeline', 0)

    def take_second(self, model: Model) -> None:
        """Internal: the task's second model, which the pipeline owns from here on."""
        raise EdgeflowError('invalid-argument', f'{self.task} takes one model', {'task': self.task})

    def _free(self) -> None:
        self.model.dispose()

    def _label(self) -> str:
        return self.task

    async def run_encoded(self, encoded: Encoded, wanted: list[str], options: RunOptions) -> dict[str, Tensor]:
        """Internal: run the model on a batch of rows of one length; the tensors of these outputs are the caller's to free."""
        inputs = model_inputs(encoded, self.model.inputs)
        try:
            return await self.model.run_tensors(inputs, wanted, options)
        finally:
            for tensor in inputs.values():
                tensor.dispose()

    async def run_texts(self, texts: list[str], candidates: list[str], options: RunOptions) -> TextOutput:
        """Internal: tokenize a batch, padded to its longest text and cut to what the model takes, and run the model on it.

        candidates: names of outputs; the first that the model has is computed, the others are not. Its tensor is the caller's to free.
        """
        wanted = first_name([info.name for info in self.model.outputs], candidates)
        encoded = self.tokenizer.encode(texts, padding=True, truncation=True)
        return TextOutput(encoded, (await self.run_encoded(encoded, [wanted], options))[wanted])

    async def run_rows(self, rows: list[Row], wanted: list[str], options: RunOptions) -> list[list[float]]:
        """Internal: run the model on rows as one batch; each of these outputs as one flat list."""
        names = [info.name for info in self.model.outputs]
        outputs = await self.run_encoded(
            self.tokenizer.pad(rows, 'longest', None, False), [first_name(names, [name]) for name in wanted], options)
        return [taken(outputs[name]) for name in wanted]


def taken(tensor: Tensor) -> list[float]:
    """The numbers of a tensor, which is freed."""
    values: list[float] = numbers(tensor.dtype, tensor.data)
    tensor.dispose()
    return values


def text_list(texts: object) -> list[str]:
    """The input of a text pipeline as a list; EdgeflowError 'invalid-argument' unless it is a text or a list of texts."""
    if isinstance(texts, str):
        return [texts]
    if not isinstance(texts, (list, tuple)):
        raise EdgeflowError('invalid-argument', f'expected a text or a list of texts, got {texts}', {})
    found: list[str] = []
    for text in texts:
        if not isinstance(text, str):
            raise EdgeflowError('invalid-argument', f'expected a list of texts, got {text} in it', {})
        found.append(text)
    if len(found) == 0:
        raise EdgeflowError('invalid-argument', 'expected a text or a list of texts, got an empty list', {})
    return found


def model_inputs(encoded: Encoded, declared: list[ValueInfo]) -> dict[str, Tensor]:
    """The tensors of a batch under the names that the model declares; what it does not declare is left out."""
    rows: dict[str, list[list[int]]] = {
        'input_ids': encoded.input_ids, 'attention_mask': encoded.attention_mask,
        'token_type_ids': encoded.token_type_ids,
    }
    inputs: dict[str, Tensor] = {}
    for info in declared:
        if info.name not in rows:
            raise EdgeflowError(
                'invalid-input',
                f"the model asks for an input '{info.name}'; a text pipeline has {', '.join(rows.keys())}",
                {'input': info.name})
        inputs[info.name] = row_tensor(rows[info.name], info.dtype)
    return inputs


def row_tensor(rows: list[list[int]], dtype: str) -> Tensor:
    """Rows of one length as a tensor."""
    flat: list[int] = []
    for row in rows:
        flat.extend(row)
    return Tensor(dtype, [len(rows), len(rows[0])], array_of(dtype, flat))


def first_name(names: list[str], candidates: list[str]) -> str:
    """The first of the candidates that is in `names`, the model's outputs; EdgeflowError 'invalid-graph' if none is."""
    for name in candidates:
        if name in names:
            return name
    raise EdgeflowError(
        'invalid-graph', f"expected a model with an output {' or '.join(candidates)}, got {', '.join(names)}",
        {'expected': candidates, 'got': names})
