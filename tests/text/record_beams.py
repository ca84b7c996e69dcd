"""Write the texts that transformers' beam search finds with the small models, run by onnxruntime, into tests/text/beam_cases.json.

Run with transformers 4.57.6 and torch: python -m tests.text.record_beams
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import transformers
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import CausalLMOutput

MODELS = Path(__file__).parents[1] / 'models'
TARGET = Path(__file__).with_name('beam_cases.json')
OPTIONS: list[dict[str, object]] = [
    {'num_beams': 4, 'max_new_tokens': 12},
    {'num_beams': 5, 'max_new_tokens': 15, 'num_return_sequences': 3},
    {'num_beams': 3, 'max_new_tokens': 20, 'length_penalty': 2.0, 'no_repeat_ngram_size': 2},
    {'num_beams': 2, 'max_new_tokens': 16, 'length_penalty': -1.0, 'early_stopping': True, 'repetition_penalty': 1.3},
    {'num_beams': 5, 'max_new_tokens': 80, 'early_stopping': 'never', 'min_new_tokens': 10},
]


class Onnx(transformers.PreTrainedModel, GenerationMixin):
    """A decoder's file as transformers sees a model. It keeps no past. given: what else the file takes."""

    config_class = transformers.PretrainedConfig
    main_input_name = 'input_ids'

    def __init__(self, path: Path, ends: list[int], given: dict[str, np.ndarray]) -> None:
        self.file = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
        config = transformers.PretrainedConfig()
        config.vocab_size = self.file.get_outputs()[0].shape[-1]
        config.num_hidden_layers = 0
        super().__init__(config)
        self.place = torch.nn.Parameter(torch.zeros(1))
        self.given = given
        self.generation_config = transformers.GenerationConfig(eos_token_id=ends, pad_token_id=0, use_cache=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, return_dict: bool = True) -> CausalLMOutput:
        batch, length = input_ids.shape
        feeds = {'input_ids': input_ids.numpy(), 'attention_mask': np.ones((batch, length), np.int64), 'use_cache_branch': np.array([False]),
                 'position_ids': np.tile(np.arange(length), (batch, 1))} | {name: np.repeat(value, batch, 0) for name, value in self.given.items()}
        for value in self.file.get_inputs():
            if value.name.startswith('past'):
                feeds[value.name] = np.zeros((batch, value.shape[1], 0, value.shape[3]), np.float32)
        names = [value.name for value in self.file.get_inputs()]
        return CausalLMOutput(logits=torch.from_numpy(self.file.run(['logits'], {name: feeds[name] for name in names})[0]))

    def prepare_inputs_for_generation(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **_: object) -> dict[str, torch.Tensor]:
        return {'input_ids': input_ids}


def until_end(ids: list[int], ends: list[int]) -> list[int]:
    """The tokens without the padding after the end."""
    return next((ids[:at + 1] for at, token in enumerate(ids) if token in ends), ids)


def cases(name: str, file: str) -> list[dict[str, object]]:
    recorded = json.loads((MODELS / name / 'cases/generate.json').read_text())
    ends = recorded['eos_token_id']
    found: list[dict[str, object]] = []
    for prompt in recorded['prompts'][:2]:
        given: dict[str, np.ndarray] = {}
        ids = prompt['input_ids']
        if 'decoder_input_ids' in prompt:
            encoder = onnxruntime.InferenceSession(str(MODELS / name / 'onnx/encoder_model.onnx'), providers=['CPUExecutionProvider'])
            mask = np.ones((1, len(ids)), np.int64)
            states = encoder.run(None, {'input_ids': np.array([ids]), 'attention_mask': mask})[0]
            given = {'encoder_hidden_states': states, 'encoder_attention_mask': mask}
            ids = prompt['decoder_input_ids']
        model = Onnx(MODELS / name / 'onnx' / file, ends if isinstance(ends, list) else [ends], given)
        for options in OPTIONS:
            out = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False, **options)
            texts = [until_end(row[len(ids):].tolist(), model.generation_config.eos_token_id) for row in out]
            found.append({'model': name, 'text': prompt['prompt'], 'eos_token_id': ends, 'options': options, 'new_ids': texts})
    return found


if __name__ == '__main__':
    lines = [json.dumps(case, ensure_ascii=False, separators=(',', ':')) for case in [
        *cases('smollm2-mini', 'model.onnx'), *cases('t5-mini', 'decoder_model_merged.onnx'), *cases('marian-mini', 'decoder_model_merged.onnx')]]
    TARGET.write_text('[\n' + ',\n'.join(lines) + '\n]\n')
