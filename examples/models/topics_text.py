"""The text of `pydoc_data.topics` as sections, split into a part to learn from and a part held out, and its tokenizer.

The topics are Python's own language reference as `help()` prints it. Many hold the same sections ('if' is a part of 'compound'), so
each section is taken once. What is held out is whole sections, and of those only the paragraphs that the rest has not.
"""

from __future__ import annotations

import hashlib
import platform
import re
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

END = '<|endoftext|>'
VOCABULARY = 2048
HELD_OUT = 16
HEADING = re.compile(r'^(?P<title>\S.*)\n(?P<rule>[*=\-~^"])(?P=rule){2,}$', re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    body: str
    held_out: bool

    def text(self) -> str:
        return f'# {self.title}\n\n{self.body}'


def sections() -> list[Section]:
    """All sections with a body, in the order of the topics. One in HELD_OUT titles is held out, chosen by its hash."""
    from pydoc_data.topics import topics
    bodies: dict[str, str] = {}
    for topic in topics.values():
        found = list(HEADING.finditer(topic))
        ends = [heading.start() for heading in found[1:]] + [len(topic)]
        for heading, end in zip(found, ends, strict=True):
            body = topic[heading.end():end].strip()
            if body:
                bodies.setdefault(body, heading['title'].strip())
    parted = [Section(title, body, is_held_out(title)) for body, title in bodies.items()]
    known = {paragraph.strip() for section in parted if not section.held_out for paragraph in paragraphs(section.body)}
    result = []
    for section in parted:
        body = section.body if not section.held_out else '\n\n'.join(p for p in paragraphs(section.body) if p.strip() not in known)
        if body:
            result.append(Section(section.title, body, section.held_out))
    return result


def paragraphs(body: str) -> list[str]:
    return re.split(r'\n\n+', body)


def is_held_out(title: str) -> bool:
    return hashlib.sha256(title.encode()).digest()[0] % HELD_OUT == 0


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """GPT-2's kind of tokenizer: byte pairs that never cross words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, parts: list[Section]) -> np.ndarray:
    """The sections as one row of token ids, END before each and at the end."""
    end = tokenizer.token_to_id(END)
    ids = [end]
    for section in parts:
        ids += [*tokenizer.encode(section.text()).ids, end]
    return np.array(ids, np.uint16)


def facts(parts: list[Section]) -> dict[str, object]:
    """What was taken as text: for the note beside the model."""
    whole = '\0'.join(section.text() for section in parts)
    return {
        'python': platform.python_version(),
        'sha256': hashlib.sha256(whole.encode()).hexdigest(),
        'train': size_of([section for section in parts if not section.held_out]),
        'held_out': size_of([section for section in parts if section.held_out]),
        'held_out_titles': [section.title for section in parts if section.held_out],
    }


def size_of(parts: list[Section]) -> dict[str, int]:
    return {'sections': len(parts), 'bytes': sum(len(section.text().encode()) for section in parts)}
