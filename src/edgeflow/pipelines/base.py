"""What every text pipeline has: a model, its tokenizer, its config.json."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_of
from edgeflow.runtime.model import Model
from edgeflow.runtime.tensor import Tensor
from edgeflow.text.tokenizer import Encoded, Tokenizer


@dataclass(frozen=True)
class TextOutput:
    """What a model made of a batch of texts."""

    encoded: Encoded
    tensors: dict[str, Tensor]


class Pipeline:
    """A task with its model. Call it, or run(), with inputs; dispose() frees the model's memory.

    task: its name. model, tokenizer: what it runs. config: the model's config.json.
    """

    def __init__(self, task: str, model: Model, tokenizer: Tokenizer, config: dict[str, object]) -> None:
        self.task = task
        self.model = model
        self.tokenizer = tokenizer
        self.config = config

    def dispose(self) -> None:
        """Free the model; running it afterwards raises EdgeflowError 'disposed'. Doing it twice is no error."""
        self.model.dispose()

    async def run_texts(self, texts: list[str]) -> TextOutput:
        """Tokenize a batch, padded to its longest text and cut to what the model takes, and run the model on it."""
        encoded = self.tokenizer.encode(texts, padding=True, truncation=True)
        inputs = model_inputs(encoded, self.model.input_names())
        outputs = await self.model.run_tensors(inputs)
        for name in inputs:
            inputs[name].dispose()
        return TextOutput(encoded, outputs)


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


def model_inputs(encoded: Encoded, names: list[str]) -> dict[str, Tensor]:
    """The tensors of a batch under the names that the model declares; what it does not declare is left out."""
    rows: dict[str, list[list[int]]] = {
        'input_ids': encoded.input_ids, 'attention_mask': encoded.attention_mask,
        'token_type_ids': encoded.token_type_ids,
    }
    for name in names:
        if name not in rows:
            raise EdgeflowError(
                'invalid-input',
                f"the model asks for an input '{name}'; a text pipeline has {', '.join(rows.keys())}", {'input': name})
    inputs: dict[str, Tensor] = {}
    for name in names:
        inputs[name] = int_tensor(rows[name])
    return inputs


def int_tensor(rows: list[list[int]]) -> Tensor:
    """Rows of one length as an int64 tensor."""
    flat: list[int] = []
    for row in rows:
        flat.extend(row)
    return Tensor('int64', [len(rows), len(rows[0])], array_of('int64', flat))


def first_output(outputs: dict[str, Tensor], names: list[str]) -> Tensor:
    """The first of the named outputs that the model has; EdgeflowError 'invalid-graph' if it has none of them."""
    for name in names:
        if name in outputs:
            return outputs[name]
    raise EdgeflowError(
        'invalid-graph', f"expected an output {' or '.join(names)}, got {', '.join(outputs.keys())}",
        {'expected': names, 'got': list(outputs.keys())})
