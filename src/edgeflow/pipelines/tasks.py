"""The one table of tasks: what a pipeline of this name is made of, and the model it takes when none is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from edgeflow.backends.generation import Chooser, use_choosers
from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import to_dict
from edgeflow.options import nearest
from edgeflow.pipelines.base import Pipeline
from edgeflow.pipelines.feature_extraction import FeatureExtractionPipeline
from edgeflow.pipelines.text_classification import TextClassificationPipeline
from edgeflow.runtime.model import Model
from edgeflow.text.tokenizer import Tokenizer


Builder = Callable[[str, Model, Tokenizer, dict[str, object]], Pipeline]


@dataclass(frozen=True)
class Task:
    """One task: its default model on the hub, how its pipeline is made, and whether that takes a generation_config.json.

    builder: gives what makes the pipeline, after fetching its part of edgeflow. decoder: the file of a second model, which goes on from what
    the first one encodes.
    """

    default_model: str
    builder: Callable[[], Awaitable[Builder]]
    generates: bool = False
    decoder: str = ''


async def _feature_extraction() -> Builder:
    return lambda task, model, tokenizer, config: FeatureExtractionPipeline(task, model, tokenizer, config)


async def _text_classification() -> Builder:
    return lambda task, model, tokenizer, config: TextClassificationPipeline(task, model, tokenizer, config)


async def _token_classification() -> Builder:
    from edgeflow.pipelines.token_classification import TokenClassificationPipeline
    return lambda task, model, tokenizer, config: TokenClassificationPipeline(task, model, tokenizer, config)


async def _fill_mask() -> Builder:
    from edgeflow.pipelines.fill_mask import FillMaskPipeline
    return lambda task, model, tokenizer, config: FillMaskPipeline(task, model, tokenizer, config)


async def _question_answering() -> Builder:
    from edgeflow.pipelines.question_answering import QuestionAnsweringPipeline
    return lambda task, model, tokenizer, config: QuestionAnsweringPipeline(task, model, tokenizer, config)


async def _text_generation() -> Builder:
    from edgeflow.pipelines.text_generation import TextGenerationPipeline
    return lambda task, model, tokenizer, config: TextGenerationPipeline(task, model, tokenizer, config)


async def _text2text_generation() -> Builder:
    from edgeflow.pipelines.text2text_generation import Text2TextGenerationPipeline
    return lambda task, model, tokenizer, config: Text2TextGenerationPipeline(task, model, tokenizer, config)


async def _chooser(choosing: object) -> Chooser:
    if 'made' in cast('dict[str, object]', choosing):
        from edgeflow.pipelines.beam_source import make_beam_chooser
        return make_beam_chooser(choosing)
    from edgeflow.pipelines.token_source import make_chooser
    return make_chooser(choosing)


use_choosers(_chooser)


async def _zero_shot_classification() -> Builder:
    from edgeflow.pipelines.zero_shot_classification import ZeroShotClassificationPipeline
    return lambda task, model, tokenizer, config: ZeroShotClassificationPipeline(task, model, tokenizer, config)


DECODER = 'decoder_model_merged'

TASKS: dict[str, Task] = {
    'feature-extraction': Task('onnx-community/all-MiniLM-L6-v2-ONNX', _feature_extraction),
    'text-classification': Task('Xenova/distilbert-base-uncased-finetuned-sst-2-english', _text_classification),
    'token-classification': Task('Xenova/bert-base-multilingual-cased-ner-hrl', _token_classification),
    'fill-mask': Task('Xenova/bert-base-uncased', _fill_mask),
    'question-answering': Task('Xenova/distilbert-base-cased-distilled-squad', _question_answering),
    'text-generation': Task('onnx-community/SmolLM2-135M-Instruct-ONNX', _text_generation, True),
    'text2text-generation': Task('Xenova/flan-t5-small', _text2text_generation, True, DECODER),
    'summarization': Task('Xenova/distilbart-cnn-6-6', _text2text_generation, True, DECODER),
    'translation': Task('Xenova/t5-small', _text2text_generation, True, DECODER),
    'zero-shot-classification': Task('Xenova/distilbert-base-uncased-mnli', _zero_shot_classification),
}

ALIASES: dict[str, str] = {
    'embeddings': 'feature-extraction', 'ner': 'token-classification', 'sentiment-analysis': 'text-classification',
}


def task_name(task: object) -> str:
    """The task's own name for a name or alias; EdgeflowError 'unsupported-task' with the nearest one."""
    if isinstance(task, str):
        name = ALIASES.get(task, task)
        if name in TASKS:
            return name
    known = [*TASKS.keys(), *ALIASES.keys()]
    near = nearest(task, known) if isinstance(task, str) else None
    hint = f" Did you mean '{near}'?" if near is not None else ''
    raise EdgeflowError(
        'unsupported-task', f"there is no pipeline for the task '{task}'.{hint} The tasks: {', '.join(known)}",
        {'task': task, 'nearest': near, 'known': known})


def default_model(task: str) -> str:
    """The model of a task when none is given: the one of env.default_models, else the table's."""
    chosen = to_dict(env.default_models).get(task)
    return TASKS[task].default_model if chosen is None else cast(str, chosen)
