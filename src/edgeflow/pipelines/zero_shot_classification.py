"""zero-shot-classification: labels of one's own, by a model that tells what follows from a text (Yin et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import AbortSignal
from edgeflow.options import public
from edgeflow.pipelines.base import Pipeline, first_name, taken, text_list
from edgeflow.pipelines.text_classification import scores
from edgeflow.runtime.model import RunOptions


@dataclass(frozen=True)
class ZeroShotClassification:
    """The labels of a text, best first, with their scores."""

    sequence: str
    labels: list[str]
    scores: list[float]


class ZeroShotClassificationPipeline(Pipeline):
    """Texts to labels that are chosen with them."""

    @public
    async def run(
        self, texts: str | list[str], candidate_labels: str | list[str], *, hypothesis_template: str = 'This example is {}.',
        multi_label: bool = False, priority: Literal['low', 'normal', 'high', 'critical'] = 'normal', signal: AbortSignal | None = None,
        deadline: float | None = None,
    ) -> ZeroShotClassification | list[ZeroShotClassification]:
        """How well each label fits a text: whether the hypothesis about it follows from the text.

        candidate_labels: a list, or a text with commas. hypothesis_template: a sentence with {} for the label. multi_label: True scores each
        label for itself, False lets them share 1. A list of texts gives a list of answers.
        priority, signal, deadline: as for Model.run().
        """
        labels = text_list(candidate_labels)
        if isinstance(candidate_labels, str):
            labels = [label.strip() for label in candidate_labels.split(',') if label.strip() != '']
        parts = hypothesis_template.split('{}')
        if len(parts) != 2:
            raise EdgeflowError(
                'invalid-argument', f"hypothesis_template: expected one {{}} for the label, got '{hypothesis_template}'", {})
        if len(labels) == 0:
            raise EdgeflowError('invalid-argument', 'candidate_labels: expected a label, got none', {})
        listed = text_list(texts)
        firsts: list[str] = []
        seconds: list[str] = []
        for text in listed:
            for label in labels:
                firsts.append(text)
                seconds.append(parts[0] + label + parts[1])
        encoded = self.tokenizer.encode(firsts, seconds, padding=True, truncation='only_first')
        output = first_name([info.name for info in self.model.outputs], ['logits'])
        logits = (await self.run_encoded(encoded, [output], RunOptions(priority, signal, deadline)))[output]
        kinds = logits.shape[1]
        values = taken(logits)
        entailment = entailment_id(self.config, kinds)
        contradiction = kinds - 1 if entailment == 0 else 0
        answers: list[ZeroShotClassification] = []
        for t in range(len(listed)):
            rows = [(t * len(labels) + i) * kinds for i in range(len(labels))]
            if multi_label or len(labels) == 1:
                found = [scores([values[row + contradiction], values[row + entailment]], 'softmax')[1] for row in rows]
            else:
                found = scores([values[row + entailment] for row in rows], 'softmax')
            order = sorted(range(len(labels)), key=lambda i: (-found[i], i))
            answers.append(ZeroShotClassification(listed[t], [labels[i] for i in order], [found[i] for i in order]))
        return answers[0] if isinstance(texts, str) else answers


def entailment_id(config: Mapping[str, object], kinds: int) -> int:
    """Which logit says that the hypothesis follows, by config.json's label2id or id2label; the last where they do not say."""
    by_label = config.get('label2id')
    if isinstance(by_label, dict):
        for label in by_label.keys():
            if label.lower().startswith('entail'):
                return cast(int, by_label[label])
    by_id = config.get('id2label')
    if isinstance(by_id, dict):
        for key in by_id.keys():
            if str(by_id[key]).lower().startswith('entail'):
                return int(key)
    return kinds - 1
