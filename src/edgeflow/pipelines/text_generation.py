"""text-generation: what a decoder writes after a text, or as the answer in a conversation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import native_mapping, to_dict
from edgeflow.host.port import AbortSignal
from edgeflow.options import public
from edgeflow.pipelines.base import Pipeline, text_list
from edgeflow.pipelines.token_source import PromptedStream, SessionSource
from edgeflow.runtime.generation import GenerationSession
from edgeflow.runtime.model import Model, RunOptions
from edgeflow.runtime.tensor import Tensor
from edgeflow.text.chat import chat_text
from edgeflow.text.generation_options import GenerationOptions, generation_options
from edgeflow.text.streamer import TokenEvent, TokenStream
from edgeflow.text.tokenizer import Tokenizer

KEPT_SESSIONS = 2


@dataclass(frozen=True)
class GeneratedText:
    """generated_text: the given text and what was written after it; for a conversation its messages and the answer as one more."""

    generated_text: str | list[dict[str, object]]


@dataclass(frozen=True)
class Asked:
    """What run() or stream() is asked for. prompts: where the decoder begins. chats: for each row its messages, None for a plain text.

    inputs: what else the decoder takes, for each row.
    """

    texts: list[str]
    prompts: list[list[int]]
    chats: list[list[object] | None]
    inputs: list[dict[str, Tensor]] | None = None


class TextGenerationPipeline(Pipeline):
    """Texts or conversations to what follows them."""

    def __init__(self, task: str, model: Model, tokenizer: Tokenizer, config: dict[str, object]) -> None:
        super().__init__(task, model, tokenizer, config)
        self._kept: list[GenerationSession] = []

    @public
    async def run(
        self, texts: str | list[str] | list[dict[str, object]] | list[list[dict[str, object]]], *, return_full_text: bool = True,
        max_new_tokens: int | None = None, min_new_tokens: int | None = None, do_sample: bool | None = None, temperature: float | None = None,
        top_k: int | None = None, top_p: float | None = None, min_p: float | None = None, typical_p: float | None = None,
        repetition_penalty: float | None = None, presence_penalty: float | None = None, frequency_penalty: float | None = None,
        no_repeat_ngram_size: int | None = None, logit_bias: dict[str, float] | None = None, bad_words_ids: list[list[int]] | None = None,
        eos_token_id: int | list[int] | None = None, stop: str | list[str] | None = None, num_beams: int | None = None,
        num_return_sequences: int | None = None, length_penalty: float | None = None, early_stopping: bool | Literal['never'] | None = None, seed: int | None = None,
        tools: list[dict[str, object]] | None = None, on_token: Callable[[TokenEvent], None] | None = None,
        priority: Literal['low', 'normal', 'high', 'critical'] = 'normal', signal: AbortSignal | None = None, deadline: float | None = None,
    ) -> list[GeneratedText] | list[list[GeneratedText]]:
        """The whole of what is written, for a text or a conversation ([{role, content}, ...]) a list of its num_return_sequences results (one), for several a list of such.

        return_full_text: the given text comes first in the result. tools: for the chat template. on_token: hears of each token as it is
        made, with num_beams once the search has ended. The others are those of generation_options(); priority, signal, deadline: as for Model.run(), of each step.
        """
        options = generation_options(
            self._defaults(), max_new_tokens=max_new_tokens, min_new_tokens=min_new_tokens, do_sample=do_sample, temperature=temperature,
            top_k=top_k, top_p=top_p, min_p=min_p, typical_p=typical_p, repetition_penalty=repetition_penalty, presence_penalty=presence_penalty,
            frequency_penalty=frequency_penalty, no_repeat_ngram_size=no_repeat_ngram_size, logit_bias=logit_bias, bad_words_ids=bad_words_ids,
            eos_token_id=eos_token_id, stop=stop, num_beams=num_beams, num_return_sequences=num_return_sequences, length_penalty=length_penalty,
            early_stopping=early_stopping, seed=seed)
        run = RunOptions(priority, signal, deadline)
        asked = await self.asked(texts, tools, run)

        async def begin() -> SessionSource:
            return await self._source(asked, options, run)

        written = await PromptedStream(begin, self.tokenizer, stops=options.stop, on_token=on_token, signal=signal).whole_texts()
        return cast('list[GeneratedText]', self.results(asked, written, not isinstance(texts, str) and isinstance(texts[0], (str, list, tuple)), return_full_text))

    @public
    def stream(
        self, texts: str | list[str] | list[dict[str, object]] | list[list[dict[str, object]]], *,
        max_new_tokens: int | None = None, min_new_tokens: int | None = None, do_sample: bool | None = None, temperature: float | None = None,
        top_k: int | None = None, top_p: float | None = None, min_p: float | None = None, typical_p: float | None = None,
        repetition_penalty: float | None = None, presence_penalty: float | None = None, frequency_penalty: float | None = None,
        no_repeat_ngram_size: int | None = None, logit_bias: dict[str, float] | None = None, bad_words_ids: list[list[int]] | None = None,
        eos_token_id: int | list[int] | None = None, stop: str | list[str] | None = None, num_return_sequences: int | None = None,
        seed: int | None = None, logprobs: int | None = None,
        tools: list[dict[str, object]] | None = None, priority: Literal['low', 'normal', 'high', 'critical'] = 'normal',
        signal: AbortSignal | None = None, deadline: float | None = None,
    ) -> TokenStream:
        """The tokens as they are made: `for await (const event of generator.stream(...))`.

        The options are those of run(), without beams, whose text is known only at the end; logprobs: tell the log probability of each token, and of so many of the likeliest.
        """
        options = generation_options(
            self._defaults(), max_new_tokens=max_new_tokens, min_new_tokens=min_new_tokens, do_sample=do_sample, temperature=temperature,
            top_k=top_k, top_p=top_p, min_p=min_p, typical_p=typical_p, repetition_penalty=repetition_penalty, presence_penalty=presence_penalty,
            frequency_penalty=frequency_penalty, no_repeat_ngram_size=no_repeat_ngram_size, logit_bias=logit_bias, bad_words_ids=bad_words_ids,
            eos_token_id=eos_token_id, stop=stop, num_beams=1, num_return_sequences=num_return_sequences, seed=seed, logprobs=logprobs)
        run = RunOptions(priority, signal, deadline)

        async def begin() -> SessionSource:
            return await self._source(await self.asked(texts, tools, run), options, run)

        return PromptedStream(begin, self.tokenizer, stops=options.stop, signal=signal)

    def _defaults(self) -> dict[str, object]:
        """The model's generation_config.json."""
        found = self.config.get('generation_config')
        return {} if found is None else to_dict(found)

    async def _source(self, asked: Asked, options: GenerationOptions, run: RunOptions) -> SessionSource:
        if options.num_beams > 1:
            from edgeflow.pipelines.beam_source import BeamSource
            return BeamSource(self.writer(), asked.prompts, options, run, asked.inputs)
        return SessionSource(self.writer(), asked.prompts, options, run, inputs=asked.inputs, kept=self._kept, most=KEPT_SESSIONS)

    def writer(self) -> Model:
        """Internal: the model that makes the tokens."""
        return self.model

    def results(self, asked: Asked, written: list[str], several: bool, full: bool) -> object:
        """Internal: what run() gives."""
        results: list[list[GeneratedText]] = [[] for _ in asked.texts]
        for i in range(len(written)):
            at = i * len(asked.texts) // len(written)
            chat = asked.chats[at]
            whole: object = asked.texts[at] + written[i] if chat is None else [*chat, native_mapping({'role': 'assistant', 'content': written[i]})]
            results[at].append(GeneratedText(cast(str, whole) if full else written[i]))
        return results if several else results[0]

    async def asked(self, texts: object, tools: list[dict[str, object]] | None, run: RunOptions) -> Asked:
        """Internal: the rows that `texts` means."""
        given: list[object] = list(texts) if isinstance(texts, (list, tuple)) else [texts]
        if len(given) > 0 and not isinstance(given[0], (str, list, tuple)):
            given = [given]
        chats: list[list[object] | None] = []
        rows: list[str] = []
        for one in given:
            if isinstance(one, (list, tuple)):
                chats.append(list(one))
                rows.append(await chat_text(self.tokenizer, cast('list[dict[str, object]]', one), tools=tools, add_generation_prompt=True))
            else:
                chats.append(None)
                rows.append(text_list(one)[0])
        text_list(rows)
        prompts: list[list[int]] = []
        for i in range(len(rows)):
            # A chat template writes the special tokens itself.
            ids = self.tokenizer.encode([rows[i]], add_special_tokens=chats[i] is None).input_ids[0]
            if len(ids) == 0:
                raise EdgeflowError('invalid-argument', 'expected a text of at least one token, got an empty one', {})
            prompts.append(ids)
        return Asked(rows, prompts, chats)

    def _free(self) -> None:
        for session in self._kept:
            session.dispose()
        self._kept = []
        super()._free()
