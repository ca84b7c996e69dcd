"""Write what transformers makes of random logits into tests/unit/test_sampling_recorded.py, between its two marks.

Run with transformers and torch installed (the dependency group `nightly`): python -m tests.text.record_sampling
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import torch
import transformers
from transformers import GenerationConfig
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import CausalLMOutput

from edgeflow.text.xoshiro import Xoshiro

TARGET = Path(__file__).parents[1] / 'unit' / 'test_sampling_recorded.py'
VOCABULARY = 32
HISTORY = [5, 3, 7, 5, 3, 9, 1, 30, 5, 3]
SETTINGS: list[dict[str, object]] = [
    {'temperature': 0.7}, {'temperature': 1.8}, {'top_k': 5}, {'top_k': 1}, {'top_p': 0.6}, {'top_p': 0.95}, {'min_p': 0.1},
    {'typical_p': 0.3}, {'typical_p': 0.9}, {'repetition_penalty': 1.3}, {'repetition_penalty': 0.8}, {'no_repeat_ngram_size': 1},
    {'no_repeat_ngram_size': 2}, {'no_repeat_ngram_size': 3}, {'bad_words_ids': [[4], [3, 8], [5, 3, 11], [9, 12], [31]]},
    {'min_new_tokens': 9, 'max_new_tokens': 9, 'eos_token_id': [31, 2]},
    {'min_new_tokens': 2, 'max_new_tokens': 9, 'eos_token_id': 31, 'bad_words_ids': [[31], [2]]},
    {'logit_bias': {4: 3.5, 9: -20.0}}, {'temperature': 0.8, 'top_k': 12, 'top_p': 0.8}, {'temperature': 1.5, 'top_p': 0.9, 'min_p': 0.05},
    {'temperature': 0.9, 'top_k': 10, 'typical_p': 0.7},
    {'temperature': 1.2, 'top_k': 20, 'top_p': 0.9, 'min_p': 0.02, 'typical_p': 0.8, 'repetition_penalty': 1.1,
     'no_repeat_ngram_size': 2, 'bad_words_ids': [[4]], 'logit_bias': {6: 1.0}},
]
BEAMS: list[dict[str, object]] = [
    {'num_beams': 2}, {'num_beams': 4}, {'num_beams': 3, 'length_penalty': 2.0}, {'num_beams': 3, 'length_penalty': -1.0},
    {'num_beams': 3, 'early_stopping': True}, {'num_beams': 3, 'early_stopping': 'never'}, {'num_beams': 4, 'length_penalty': 0.0},
    {'num_beams': 3, 'no_repeat_ngram_size': 2}, {'num_beams': 3, 'repetition_penalty': 1.5}, {'num_beams': 2, 'min_new_tokens': 6},
]


def random_logits(seed: int, size: int) -> list[float]:
    """As in test_sampling_recorded.py."""
    source = Xoshiro(seed)
    return [(source.unit() + source.unit() + source.unit() - 1.5) * 4 for _ in range(size)]


class Table(transformers.PreTrainedModel, GenerationMixin):
    """A model whose next logits are a row of the table, chosen by the last token and its position."""

    config_class = transformers.PretrainedConfig
    main_input_name = 'input_ids'

    def __init__(self, rows: torch.Tensor, ends: list[int]) -> None:
        config = transformers.PretrainedConfig()
        config.vocab_size = rows.shape[1]
        config.num_hidden_layers = 0
        super().__init__(config)
        self.place = torch.nn.Parameter(torch.zeros(1))
        self.rows = rows
        self.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=0, use_cache=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, return_dict: bool = True) -> CausalLMOutput:
        positions = torch.arange(1, input_ids.shape[1] + 1)
        return CausalLMOutput(logits=self.rows[(7 * input_ids + 5 * positions) % len(self.rows)])

    def prepare_inputs_for_generation(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **_: object) -> dict[str, torch.Tensor]:
        return {'input_ids': input_ids}


def processors(options: dict[str, object], prompt_length: int) -> transformers.LogitsProcessorList:
    """The list that transformers' generate() makes of these options when it samples."""
    given = {name: value for name, value in options.items() if name != 'logit_bias'}
    bias = options.get('logit_bias')
    if bias:
        given['sequence_bias'] = [[[token], float(value)] for token, value in bias.items()]
    config = GenerationConfig(do_sample=True, **{'top_k': 0, **given})
    config.sequence_bias = given.get('sequence_bias')
    model = Table(torch.zeros(VOCABULARY, VOCABULARY), [0])
    model._prepare_special_tokens(config, kwargs_has_attention_mask=True, device='cpu')
    return model._get_logits_processor(config, input_ids_seq_length=prompt_length)


def left_by_transformers(options: dict[str, object], logits: list[float], history: list[int], prompt_length: int) -> dict[int, float]:
    """Token -> score of what is not excluded."""
    scores = processors(options, prompt_length)(torch.tensor([history]), torch.tensor([logits], dtype=torch.float32))
    return {i: x for i, x in enumerate(scores[0].tolist()) if x > -math.inf}


def beams_of_transformers(options: dict[str, object], rows: list[list[float]], prompt: list[int], longest: int, ends: list[int]) -> list[list[object]]:
    """The texts that transformers' beam search finds, each [new tokens, score]."""
    model = Table(torch.tensor(rows, dtype=torch.float32), ends)
    count = int(options['num_beams'])
    out = model.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False, max_new_tokens=longest,
        num_return_sequences=count, return_dict_in_generate=True, output_scores=True, **options)
    found = []
    for tokens, score in zip(out.sequences.tolist(), out.sequences_scores.tolist(), strict=True):
        new = tokens[len(prompt):]
        for i, token in enumerate(new):
            if token in ends:
                new = new[:i + 1]
                break
        found.append([new, round(score, 5)])
    return found


def record() -> str:
    lines = ['RECORDED: list[list[object]] = [']
    for seed, options in enumerate(SETTINGS):
        left = left_by_transformers(options, random_logits(seed, VOCABULARY), HISTORY, 6)
        written = {key: {str(k): v for k, v in value.items()} if key == 'logit_bias' else value for key, value in options.items()}
        lines.append(f'    [{written}, {list(left)},\n     {[round(x, 4) for x in left.values()]}],')
    lines.append(']\n\nBEAMS: list[list[object]] = [')
    for seed, options in enumerate(BEAMS):
        rows = [random_logits(500 + 1000 * seed + i, 12) for i in range(60)]
        lines.append(f'    [{options}, {beams_of_transformers(options, rows, [3, 4], 8, [1, 2])}],')
    return '\n'.join([*lines, ']'])


if __name__ == '__main__':
    text = TARGET.read_text()
    marked = re.compile(r'(# recorded: begin\n).*(# recorded: end\n)', re.DOTALL)
    TARGET.write_text(marked.sub(lambda found: found[1] + record() + '\n' + found[2], text))
