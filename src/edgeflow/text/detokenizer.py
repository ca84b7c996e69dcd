"""Token ids to text, one at a time, as the tokenizer would decode them all at once.

What a token adds depends on the one before it (a leading space), and on those after it (the other bytes of a character). So the
tokens since the last but one complete text are decoded together, and what is new of it is told: constant work a token.
Text once told stays, also where later bytes would make a decoder with byte fallback take back a character.
"""

from __future__ import annotations

from edgeflow.text.tokenizer import Tokenizer

REPLACEMENT = '\ufffd'
# A character has at most four bytes, so at most that many tokens.
LONGEST_CHARACTER = 4
CONTEXT = 8


class Detokenizer:
    """The text of one row of tokens. context: the tokens before it, such as the prompt's, whose text is not told."""

    def __init__(self, tokenizer: Tokenizer, context: list[int], skip_special_tokens: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skipped: set[int] = tokenizer.special_ids() if skip_special_tokens else set()
        self._window: list[int] = [token for token in context if token not in self._skipped][-CONTEXT:]
        self._known: str = self._decoded(self._window)
        while self._known.startswith(REPLACEMENT):
            self._window = self._window[1:]
            self._known = self._decoded(self._window)
        self._pending: list[int] = []

    def push(self, token: int) -> str:
        """What the next token adds to the text; '' while a character is not complete."""
        if token in self._skipped:
            return ''
        self._pending.append(token)
        text = self._decoded([*self._window, *self._pending])
        if text.endswith(REPLACEMENT) and len(self._pending) < LONGEST_CHARACTER:
            return ''
        return self._told(text)

    def finish(self) -> str:
        """What is left when no token follows: an incomplete character, as U+FFFD."""
        return self._told(self._decoded([*self._window, *self._pending])) if len(self._pending) > 0 else ''

    def _told(self, text: str) -> str:
        alone = self._decoded(self._pending)
        new = text[len(self._known):] if text.startswith(self._known) else alone
        if alone == '':
            self._window = [*self._window, *self._pending]
            self._known = text
            if len(self._window) > 2 * CONTEXT:
                self._window = self._window[-CONTEXT:]
                self._known = self._decoded(self._window)
        else:
            self._window = self._pending
            self._known = alone
        self._pending = []
        return new

    def _decoded(self, tokens: list[int]) -> str:
        return self._tokenizer.decode(tokens)
