"""text2text-generation, summarization, translation: what an encoder-decoder makes of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_of, to_dict
from edgeflow.pipelines.base import text_list
from edgeflow.pipelines.text_generation import Asked, GeneratedText, TextGenerationPipeline
from edgeflow.runtime.model import Model, RunOptions
from edgeflow.runtime.tensor import Tensor

MASK = 'encoder_attention_mask'
STATES = 'encoder_hidden_states'


@dataclass(frozen=True)
class Summary:
    """What a text says, shorter."""

    summary_text: str


@dataclass(frozen=True)
class Translation:
    """A text in another language."""

    translation_text: str


class Text2TextGenerationPipeline(TextGenerationPipeline):
    """Texts to texts. run() and stream() are those of text-generation; the results hold only what was written.

    decoder: its second model.
    """

    decoder: Model | None = None

    def take_second(self, model: Model) -> None:
        """Internal: the decoder."""
        self.decoder = model

    def writer(self) -> Model:
        """Internal: the model that makes the tokens."""
        return cast(Model, self.decoder)

    def results(self, asked: Asked, written: list[str], several: bool, full: bool) -> object:
        """Internal: what run() gives: for several texts one list, as transformers does, unless each has several results."""
        made: list[object] = []
        for text in written:
            made.append(Summary(text) if self.task == 'summarization' else Translation(text) if self.task == 'translation' else GeneratedText(text))
        size = len(made) // len(asked.texts)
        return made if size == 1 or not several else [made[i:i + size] for i in range(0, len(made), size)]

    async def asked(self, texts: object, tools: list[dict[str, object]] | None, run: RunOptions) -> Asked:
        """Internal: the rows that `texts` means, encoded."""
        rows = text_list(texts)
        start = to_dict(self.config['generation_config']).get('decoder_start_token_id', self.config.get('decoder_start_token_id'))
        if start is None:
            raise EdgeflowError('invalid-model', "expected a 'decoder_start_token_id' in generation_config.json or config.json, got none", {})
        special = self.config.get('task_specific_params')
        prefix: object = None if special is None else to_dict(to_dict(special).get(self.task, {})).get('prefix')
        inputs: list[dict[str, Tensor]] = []
        for row in rows:
            output = await self.run_texts([row if prefix is None else cast(str, prefix) + row], ['last_hidden_state'], run)
            given: dict[str, Tensor] = {STATES: output.tensor}
            if MASK in self.writer().input_names():
                given[MASK] = Tensor('int64', [1, output.tensor.shape[1]], array_of('int64', output.encoded.attention_mask[0]))
            inputs.append(given)
        return Asked(rows, [[cast(int, start)] for _ in rows], [None for _ in rows], inputs)

    def _free(self) -> None:
        super()._free()
        if self.decoder is not None:
            self.decoder.dispose()
