"""Write what transformers' own pipelines make of the small models, run by onnxruntime, into tests/text/pipeline_cases.json.

Run with transformers 4.57.6 and torch (later versions have no question-answering): python -m tests.text.record_pipelines
"""

from __future__ import annotations

import json
from pathlib import Path

import onnxruntime
import torch
import transformers

MODELS = Path(__file__).parents[1] / 'models'
TARGET = Path(__file__).with_name('pipeline_cases.json')

NER = 'Angela Merkel met naïve Müller 😀 in Berlin-Mitte, at the U.N. on Monday.'
CONTEXT = 'The quick brown fox lives in Berlin. It jumps over the lazy dog, who is called Rex! Nobody knows why the café is closed today.'
LONG = ' '.join(f'In {year} the fox number {year % 7} went to the {place}.' for year, place in zip(range(1990, 2015), ['river', 'old town', 'forest'] * 9, strict=False))
SHORTER = LONG[:460]
QUESTION = 'Where does the fox live?'

CASES: list[tuple[str, str, list[object], dict[str, object]]] = [
    ('fill-mask', 'modernbert-mlm-mini', ['The quick brown [MASK] jumps over the lazy dog.'], {}),
    ('fill-mask', 'modernbert-mlm-mini', ['The [MASK] brown fox [MASK].'], {'top_k': 3}),
    ('fill-mask', 'modernbert-mlm-mini', ['Hello [MASK]!'], {'targets': ['the', 'fox', 'a']}),
    ('fill-mask', 'modernbert-mlm-mini', [['A [MASK] day.', 'Where is the [MASK] of France in all the world?']], {'top_k': 2}),
    ('token-classification', 'bert-ner-mini', [NER], {}),
    ('token-classification', 'bert-ner-mini', [NER], {'ignore_labels': ['B-LOC', 'O']}),
    *[('token-classification', 'bert-ner-mini', [NER], {'aggregation_strategy': strategy}) for strategy in ('simple', 'first', 'average', 'max')],
    ('token-classification', 'bert-ner-mini', [SHORTER], {'aggregation_strategy': 'simple', 'stride': 20}),
    ('token-classification', 'bert-ner-mini', [['Hello world', 'Berlin']], {'aggregation_strategy': 'max'}),
    ('question-answering', 'bert-qa-mini', [QUESTION, CONTEXT], {}),
    ('question-answering', 'bert-qa-mini', [QUESTION, CONTEXT], {'top_k': 4}),
    ('question-answering', 'bert-qa-mini', [QUESTION, CONTEXT], {'top_k': 3, 'align_to_words': False, 'max_answer_len': 4}),
    ('question-answering', 'bert-qa-mini', [QUESTION, CONTEXT], {'top_k': 20, 'handle_impossible_answer': True}),
    ('question-answering', 'bert-qa-mini', [QUESTION, LONG], {'top_k': 3}),
    ('question-answering', 'bert-qa-mini', [QUESTION, LONG], {'top_k': 2, 'max_seq_len': 64, 'doc_stride': 16, 'handle_impossible_answer': True}),
    ('question-answering', 'bert-qa-mini', [[QUESTION, 'Who?'], [CONTEXT, 'A 😀 dog named Rex.']], {}),
    ('zero-shot-classification', 'deberta-v2-nli-mini', ['The quick brown fox won the game.', ['sports', 'politics', 'cooking']], {}),
    ('zero-shot-classification', 'deberta-v2-nli-mini', ['The quick brown fox won the game.', 'sports, politics'], {'multi_label': True}),
    ('zero-shot-classification', 'deberta-v2-nli-mini', ['The dog.', ['animals']], {'hypothesis_template': 'It is about {}!'}),
    ('zero-shot-classification', 'deberta-v2-nli-mini', [['The dog.', 'Soup and bread.'], ['animals', 'cooking']], {'multi_label': False}),
]


class Onnx(torch.nn.Module):
    """A model file as transformers' pipelines see a model."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.session = onnxruntime.InferenceSession(str(folder / 'onnx' / 'model.onnx'), providers=['CPUExecutionProvider'])
        self.config = transformers.AutoConfig.from_pretrained(folder)
        self.device = torch.device('cpu')
        self.base_model_prefix = ''
        self.dtype = torch.float32

    def can_generate(self) -> bool:
        return False

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, token_type_ids: torch.Tensor | None = None) -> dict:
        given = {'input_ids': input_ids, 'attention_mask': attention_mask, 'token_type_ids': token_type_ids}
        names = [value.name for value in self.session.get_outputs()]
        outputs = self.session.run(None, {value.name: given[value.name].numpy() for value in self.session.get_inputs()})
        return transformers.utils.ModelOutput({name: torch.from_numpy(output) for name, output in zip(names, outputs, strict=True)})


def plain(value: object) -> object:
    """Numbers of numpy as Python's, scores with seven digits."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, 'item'):
        value = value.item()
    return round(value, 7) if isinstance(value, float) else value


def answer(task: str, name: str, arguments: list, options: dict[str, object]) -> object:
    folder = MODELS / name
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pipe = transformers.pipeline(task, model=Onnx(folder), tokenizer=tokenizer, framework='pt', device='cpu')
    if task == 'question-answering':
        return pipe(question=arguments[0], context=arguments[1], **options)
    return pipe(*arguments, **options)


def aggregated(strategy: str, seed: int) -> dict[str, object]:
    """What transformers makes of random scores, so that all labels come up."""
    folder = MODELS / 'bert-ner-mini'
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pipe = transformers.pipeline('token-classification', model=Onnx(folder), tokenizer=tokenizer, framework='pt', device='cpu')
    encoded = tokenizer(NER, return_offsets_mapping=True, return_special_tokens_mask=True)
    logits = torch.randn(len(encoded['input_ids']), 9, generator=torch.Generator().manual_seed(seed)).mul(30).round().div(10)
    outputs = {
        'logits': logits[None], 'sentence': NER, 'input_ids': torch.tensor([encoded['input_ids']]),
        'offset_mapping': torch.tensor([encoded['offset_mapping']]), 'special_tokens_mask': torch.tensor([encoded['special_tokens_mask']])}
    strategies = transformers.pipelines.token_classification.AggregationStrategy
    found = pipe.postprocess([outputs], aggregation_strategy=strategies[strategy.upper()])
    return {'strategy': strategy, 'text': NER, 'logits': plain(logits.flatten().tolist()), 'expected': plain(found)}


if __name__ == '__main__':
    cases = [
        {'task': task, 'model': name, 'arguments': arguments, 'options': options, 'expected': plain(answer(task, name, arguments, options))}
        for task, name, arguments, options in CASES]
    cases += [aggregated(strategy, seed) for seed, strategy in enumerate(('none', 'simple', 'first', 'average', 'max'))]
    lines = [json.dumps(case, ensure_ascii=False, separators=(',', ':')) for case in cases]
    TARGET.write_text('[\n' + ',\n'.join(lines) + '\n]\n')
