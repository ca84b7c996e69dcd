"""Chat templates: messages to the text that the model was trained on, as transformers' apply_chat_template() makes it."""

from __future__ import annotations

from typing import cast

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import to_dict
from edgeflow.host.text import render_template
from edgeflow.text.tokenizer import Tokenizer, token_text

REASONING: list[str] = ['reasoning_content', 'thinking', 'reasoning']
TOKENS: list[str] = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token']


async def chat_text(
    tokenizer: Tokenizer, messages: list[dict[str, object]], *, tools: list[dict[str, object]] | None = None,
    documents: list[dict[str, object]] | None = None, add_generation_prompt: bool = False, chat_template: str | None = None,
    variables: dict[str, object] | None = None,
) -> str:
    """The text of a conversation. It has its special tokens in it: encode it without adding any.

    messages: each with `role` and `content`, and whatever else the template reads. tools: JSON schemas of functions. documents:
    for retrieval. add_generation_prompt: end with the beginning of the assistant's answer. chat_template: a template, or the name of
    one of the model's; left out, the model's own. variables: what else the template reads, such as enable_thinking.
    EdgeflowError: 'invalid-tokenizer' (no template, or no Jinja), 'invalid-argument' (the messages are none, or the template refuses them).
    """
    if not isinstance(messages, (list, tuple)) or len(messages) == 0:
        raise EdgeflowError('invalid-argument', f'messages: expected a list of messages, got {messages}', {})
    values: dict[str, object] = {}
    for name in TOKENS:
        token = token_text(tokenizer.config.get(name))
        if token is not None:
            values[name] = token
    extra = tokenizer.config.get('extra_special_tokens')
    if isinstance(extra, dict):
        for name in extra.keys():
            values[name] = token_text(extra[name])
    values['messages'] = [prepared(message) for message in messages]
    values['tools'] = tools
    values['documents'] = documents
    values['add_generation_prompt'] = add_generation_prompt
    if variables is not None:
        values.update(to_dict(variables))
    return await render_template(template_of(tokenizer, chat_template, tools is not None), values)


def prepared(message: object) -> dict[str, object]:
    """A message without what is None, its reasoning under every name that templates read it by."""
    fields: dict[str, object] = {}
    given = to_dict(message)
    for name in given.keys():
        if given[name] is not None:
            fields[name] = given[name]
    for name in REASONING:
        if name in fields:
            reasoning = fields[name]
            fields['reasoning_content'] = reasoning
            fields['thinking'] = fields.get('thinking', reasoning)
            break
    return fields


def template_of(tokenizer: Tokenizer, asked: str | None, has_tools: bool) -> str:
    """The template that was asked for, else the model's: of several, 'tool_use' if there are tools, else 'default'."""
    own = tokenizer.chat_template
    named: dict[str, str] = {}
    if isinstance(own, (list, tuple)):
        for entry in cast('list[dict[str, str]]', own):
            named[entry['name']] = entry['template']
    elif own is not None:
        named['default'] = cast(str, own)
    if asked is not None:
        return named.get(asked, asked)
    name = 'tool_use' if has_tools and 'tool_use' in named else 'default'
    if name not in named:
        listed = ', '.join(named.keys()) if len(named) > 0 else 'none'
        raise EdgeflowError(
            'invalid-tokenizer', f"expected a chat template in the files of the model ('chat_template'), got {listed}", {})
    return named[name]
