"""From steps with pointers to the words of a tape.

A tape is `[kernel number, argument count n, n words] ...`, followed by the plan's literals (tables, shapes). Addresses
in the arena and in the tape itself are relative; `arena_words` and `tape_words` list the words to which the engine adds
where the arena and the tape lie.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeflow.errors import EdgeflowError
from edgeflow.plan.values import Pointer, Step, Value

WORD = 4
HIGH = 4294967296


@dataclass
class Tape:
    """`words[:step_words]` are the steps, the rest the literals."""

    words: list[int]
    step_words: int
    arena_words: list[int] = field(default_factory=list)
    tape_words: list[int] = field(default_factory=list)
    literal_offsets: dict[int, int] = field(default_factory=dict)


def link(steps: list[Step], kernels: dict[str, int], extra_literals: list[Value]) -> Tape:
    """The tape of `steps`. `extra_literals`: literals wanted in memory though no step reads them (outputs of the graph)."""
    tape = Tape([], 0)
    words = tape.words
    literals: list[Value] = []
    waiting: list[int] = []
    for step in steps:
        number = kernels.get(step.kernel)
        if number is None:
            raise EdgeflowError('platform', f"this WASM binary has no kernel '{step.kernel}'", {'kernel': step.kernel})
        words.append(number)
        words.append(len(step.words))
        for word in step.words:
            if not isinstance(word, Pointer):
                words.append(word)
                continue
            root = word.value.root()
            offset = word.value.root_offset() + word.offset
            if root.literal is not None:
                waiting.append(len(words))
                waiting.append(root.number)
                literals.append(root)
                words.append(offset)
            elif root.constant:
                if root.address == 0:
                    raise EdgeflowError('platform', f"{step.kernel} reads the plain contents of '{root.name}', which are not in memory", {})
                words.append(root.address + offset)
            elif root.offset < 0:
                raise EdgeflowError('platform', f"'{root.name}' is read by {step.kernel} but was never written", {})
            else:
                tape.arena_words.append(len(words))
                words.append(root.offset + offset)
    tape.step_words = len(words)
    for value in literals + extra_literals:
        if value.number not in tape.literal_offsets:
            _append_literal(tape, value)
    for i in range(0, len(waiting), 2):
        at = waiting[i]
        words[at] = words[at] + tape.literal_offsets[waiting[i + 1]]
        tape.tape_words.append(at)
    return tape


def _append_literal(tape: Tape, value: Value) -> None:
    if len(tape.words) % 2 == 1:
        tape.words.append(0)
    tape.literal_offsets[value.number] = len(tape.words) * WORD
    for word in literal_words(value):
        tape.words.append(word)


def literal_words(value: Value) -> list[int]:
    """The elements of a literal as int32 words."""
    numbers = value.literal if value.literal is not None else []
    if value.dtype == 'int32':
        return numbers
    if value.dtype == 'int64':
        words: list[int] = []
        for x in numbers:
            low = x % HIGH
            words.append(low - HIGH if low >= HIGH // 2 else low)
            words.append((x - low) // HIGH)
        return words
    raise EdgeflowError('platform', f'literals are int32 or int64; got {value.dtype}', {})
