"""Train topics-gpt, the small decoder of the examples, on the text of `pydoc_data.topics`, and write examples/models/topics-gpt.

    pip install -e '.[dev,models]'
    python examples/models/train_topics.py [--work FOLDER] [prepare] [train] [export]

prepare: the text, its tokenizer and its tokens. train: the weights (minutes on a GPU, hours on a CPU). export: ONNX, the configs
and the note. Without names, all of them. What passes between them lies in build/topics-gpt (--work): with it, `train` also runs on
another machine, which needs only PyTorch and this folder. Seeds are fixed; the text is that of the running Python, and other
hardware rounds otherwise, so that the weights come out alike, not equal.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
TARGET = HERE / 'topics-gpt'
LARGEST = 4_000_000


def prepare(work: Path) -> None:
    from topics_text import encode, facts, sections, train_tokenizer
    parts = sections()
    train, held_out = ([section for section in parts if section.held_out == kind] for kind in (False, True))
    tokenizer = train_tokenizer([section.text() for section in train])
    tokenizer.save(str(work / 'tokenizer.json'))
    np.savez(work / 'tokens.npz', train=encode(tokenizer, train), held_out=encode(tokenizer, held_out))
    (work / 'text.json').write_text(json.dumps({**facts(parts), 'vocabulary': tokenizer.get_vocab_size()}, indent=1))


def train(work: Path) -> None:
    from dataclasses import asdict

    import torch
    from gpt2_torch import PHASES, Gpt2, Shape, fit
    from safetensors.torch import save_file
    torch.set_float32_matmul_precision('high')
    tokens = np.load(work / 'tokens.npz')
    shape = Shape(json.loads((work / 'text.json').read_text())['vocabulary'])
    torch.manual_seed(PHASES[0].seed)
    model = Gpt2(shape)
    phases = [fit(model, phase, tokens['train'], tokens['held_out'], 'cuda' if torch.cuda.is_available() else 'cpu') for phase in PHASES]
    save_file({name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}, work / 'weights.safetensors')
    record = {'shape': asdict(shape), 'parameters': sum(p.numel() for p in model.parameters()), 'phases': phases}
    (work / 'training.json').write_text(json.dumps(record, indent=1))


def export(work: Path) -> None:
    from export_gpt2 import build_decoder, mean_loss, quantize
    from safetensors.numpy import load_file
    text, record = (json.loads((work / name).read_text()) for name in ('text.json', 'training.json'))
    shape = record['shape']
    tokens = np.load(work / 'tokens.npz')
    weights = {f'transformer.{name}': value for name, value in load_file(work / 'weights.safetensors').items()}
    config = model_config(shape)
    (TARGET / 'onnx').mkdir(parents=True, exist_ok=True)
    model = build_decoder(weights, config)
    quantize(model, TARGET / 'onnx' / 'model_quantized.onnx')
    end = {'bos_token_id': config['bos_token_id'], 'eos_token_id': config['eos_token_id']}
    write('config.json', config)
    write('generation_config.json', {**end, 'do_sample': True, 'temperature': 0.8, 'top_k': 40, 'max_new_tokens': 200})
    write('tokenizer_config.json', tokenizer_config(shape['n_positions']))
    (TARGET / 'tokenizer.json').write_bytes((work / 'tokenizer.json').read_bytes())
    files = (model.SerializeToString(), str(TARGET / 'onnx' / 'model_quantized.onnx'))
    losses = [{part: mean_loss(file, tokens[part], shape['n_positions'], config) for part in ('train', 'held_out')} for file in files]
    figures = {'text': text, 'tokens': {part: len(tokens[part]) for part in ('train', 'held_out')}, 'fp32': losses[0], 'int8': losses[1], 'training': record}
    write('training.json', figures)
    (TARGET / 'README.md').write_text(note(figures))
    size = sum(path.stat().st_size for path in TARGET.rglob('*') if path.is_file())
    if size > LARGEST:
        raise SystemExit(f'{TARGET}: expected at most {LARGEST:,} bytes, got {size:,}')


def write(name: str, value: dict) -> None:
    (TARGET / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + '\n')


def model_config(shape: dict[str, int]) -> dict[str, object]:
    return {
        'model_type': 'gpt2', 'architectures': ['GPT2LMHeadModel'], 'activation_function': 'gelu_new', 'layer_norm_epsilon': 1e-5,
        'n_embd': shape['n_embd'], 'n_head': shape['n_head'], 'n_layer': shape['n_layer'], 'n_positions': shape['n_positions'],
        'vocab_size': shape['vocab_size'], 'bos_token_id': 0, 'eos_token_id': 0, 'tie_word_embeddings': True, 'use_cache': True,
        'dtype': 'float32', 'transformers.js_config': {'dtype': 'q8'},
    }


def tokenizer_config(longest: int) -> dict[str, object]:
    """With a chat template in which what the user says is a heading, and the answer the section below it."""
    from topics_text import END
    template = ("{% for message in messages %}{% if message['role'] == 'user' %}{{ eos_token + '# ' + message['content'] + '\\n\\n' }}"
                "{% else %}{{ message['content'] }}{% endif %}{% endfor %}")
    return {
        'tokenizer_class': 'GPT2Tokenizer', 'add_prefix_space': False, 'bos_token': END, 'eos_token': END, 'unk_token': END,
        'clean_up_tokenization_spaces': False, 'model_max_length': longest, 'chat_template': template,
    }


def note(figures: dict) -> str:
    """README.md beside the model, all of its figures from the run."""
    text, record, tokens = figures['text'], figures['training'], figures['tokens']
    first = record['phases'][0]
    least = first['least_held_out']

    ran = [f'{phase["steps"]} steps in {phase["seconds"]:.0f} s on {phase["device"]} (PyTorch {phase["torch"]})' for phase in record['phases']]

    def row(name: str, part: str) -> str:
        size = text[part]
        cells = [f'{size["sections"]} sections, {size["bytes"]:,} bytes, {tokens[part]:,} tokens']
        for kind in ('fp32', 'int8'):
            loss = figures[kind][part]
            cells.append(f'{loss:.3f} nats, perplexity {math.exp(loss):.1f}, {loss * (tokens[part] - 1) / math.log(2) / size["bytes"]:.2f} bits a byte')
        return f'| {name} | {" | ".join(cells)} |'

    return f'''# topics-gpt

A decoder of GPT-2's shape with {record["parameters"]:,} parameters ({record["shape"]["n_layer"]} layers of {record["shape"]["n_embd"]}, context {record["shape"]["n_positions"]}, vocabulary {text["vocabulary"]:,}), trained
from nothing on the text of `pydoc_data.topics`: Python's own language reference, as `help()` prints it. It is here to show generation at
work on a real model. It has seen less text than a short novel: much of it it knows by heart, beyond it writes in the manner of that reference, and what it says about Python is often wrong.

A text begins with `<|endoftext|># Heading` and an empty line, and ends with `<|endoftext|>`. The chat template makes a heading of what the user says.

| text | size | float32 | int8 (the file here) |
|---|---|---|---|
{row("learned from", "train")}
{row("held out", "held_out")}

Held out are whole sections ({", ".join(text["held_out_titles"])}), and of those only the paragraphs that the rest does not contain.
Losses are the mean over all tokens in windows of {record["shape"]["n_positions"]}, by onnxruntime. The held-out loss was least at step {least["step"]} of {first["steps"]} ({least["held_out"]:.3f} nats,
perplexity {math.exp(least["held_out"]):.1f}, where that of the batch, with dropout, was {least["train"]:.3f}), and rises from there: the model is kept for sentences that can be read, not
for what it knows of other texts.

Made by `examples/models/train_topics.py` from the text of Python {text["python"]}:
{" then ".join(ran)}. training.json has the whole record.

Licence: the text is part of CPython and its documentation, © Python Software Foundation, under the PSF License Agreement version 2
(https://docs.python.org/3/license.html); the weights and the tokenizer are derived from it and given under the same terms. The scripts are edgeflow's (MIT).
'''


STAGES = {'prepare': prepare, 'train': train, 'export': export}


def main() -> None:
    parser = argparse.ArgumentParser(description='Train and export topics-gpt.')
    parser.add_argument('--work', type=Path, default=HERE.parent.parent / 'build' / 'topics-gpt')
    parser.add_argument('stages', nargs='*', metavar='stage', help=f'{", ".join(STAGES)}; default: all')
    options = parser.parse_args()
    for name in options.stages:
        if name not in STAGES:
            parser.error(f'expected {", ".join(STAGES)}, got {name}')
    options.work.mkdir(parents=True, exist_ok=True)
    for name, stage in STAGES.items():
        if not options.stages or name in options.stages:
            stage(options.work)


if __name__ == '__main__':
    main()
