"""What kernels say several times is said once: words, each of which is one character where it is used.

A word is a character from U+00A1 on, which takes two bytes; words may have words within. host/browser_gpu.py puts their texts in their place.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

FIRST = 0xA1
# Between words, in one text of them all: WGSL has no such character.
BETWEEN = '?'

_TOKEN = re.compile(r'\w+|.', re.DOTALL)
_LONGEST = 24
# Found at a time, since each changes what else is found often.
_ROUND = 6
_LEAST_GAIN = 6


class Words:
    """The words of several modules. Those of the first, `common` of them, are used by all."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._common = 0

    def pack(self, kernels: dict[str, list[str]], snippets: list[str]) -> dict[str, str]:
        """The texts of kernels, given in pieces, with words in place of what is there often; under '' the words that are new, behind the first of
        them. snippets: pieces that are words in any case, before the pieces that have them."""
        first = len(self._texts)
        known = {text: self.name(number) for number, text in enumerate(self._texts[:self._common])}
        fresh = [snippet for snippet in snippets if snippet not in known]
        known.update({snippet: self.name(first + number) for number, snippet in enumerate(fresh)})
        self._texts += fresh
        texts = [''.join(known.get(piece, self._said(piece)) for piece in pieces) for pieces in kernels.values()]
        bodies = [self._said(snippet) for snippet in fresh]
        everything = texts + bodies
        for word in self._found(everything):
            name = self.name(len(self._texts))
            self._texts.append(word)
            everything = [text.replace(word, name) for text in everything] + [word]
        if first == 0:
            self._common = len(self._texts)
        made = dict(zip(kernels, everything, strict=False))
        own = everything[len(texts):]
        return {**made, **({'': BETWEEN.join([self.name(first), *own])} if own else {})}

    @staticmethod
    def name(number: int) -> str:
        return chr(FIRST + number)

    def _said(self, text: str) -> str:
        """A text with the common words in it."""
        for number, word in enumerate(self._texts[:self._common]):
            text = text.replace(word, self.name(number))
        return text

    def _found(self, texts: list[str]) -> Iterator[str]:
        """Words that are worth while, one after the other as each has been put into the texts."""
        while True:
            candidates = sorted(_repeated(texts).items(), key=lambda item: (-item[1], item[0]))[:200]
            accepted = 0
            for word, _ in candidates:
                gain = _gain(word, sum(text.count(word) for text in texts))
                if gain < _LEAST_GAIN:
                    continue
                yield word
                texts = [text.replace(word, '\0') for text in texts] + [word]
                accepted += 1
                if accepted == _ROUND:
                    break
            if not accepted:
                return


def _gain(word: str, count: int) -> int:
    """Bytes that a word saves, of which each use takes 2 and the list of words one more than the word."""
    return count * (len(word.encode()) - 2) - len(word.encode()) - 1


def _repeated(texts: list[str]) -> dict[str, int]:
    """What is there more than once, of whole tokens, with what it would save as a word."""
    counts: Counter[str] = Counter()
    for text in texts:
        tokens = _TOKEN.findall(text)
        for start in range(len(tokens)):
            word = ''
            for token in tokens[start:start + _LONGEST]:
                if token == '\0':
                    break
                word += token
                if len(word) > 3:
                    counts[word] += 1
    gains = {word: _gain(word, count) for word, count in counts.items() if count > 1}
    return {word: gain for word, gain in gains.items() if gain >= _LEAST_GAIN}
