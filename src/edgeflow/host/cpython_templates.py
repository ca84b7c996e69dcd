"""Jinja templates in CPython: jinja2 in a sandbox, set up as transformers does for chat templates. CPython only."""

from __future__ import annotations

import functools
import json
from datetime import datetime

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from edgeflow.errors import EdgeflowError


class _Generation(jinja2.ext.Extension):
    """{% generation %} ... {% endgeneration %}, with which training code marks what the model says: here just its contents."""

    tags = {'generation'}

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(('name:endgeneration',), drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


def _raise_exception(message: str) -> None:
    raise jinja2.exceptions.TemplateError(message)


def _to_json(value: object, ensure_ascii: bool = False, indent: int | None = None, separators: tuple | None = None, sort_keys: bool = False) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


@functools.cache
def _compiled(template: str) -> jinja2.Template:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols])
    environment.filters['tojson'] = _to_json
    environment.globals['raise_exception'] = _raise_exception
    environment.globals['strftime_now'] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


async def render_template(template: str, variables: dict[str, object]) -> str:
    try:
        compiled = _compiled(template)
    except jinja2.exceptions.TemplateError as error:
        raise EdgeflowError('invalid-tokenizer', f'the chat template is no Jinja: {error}') from error
    try:
        return compiled.render(**variables)
    except Exception as error:  # a template can run into any error of Python
        raise EdgeflowError('invalid-argument', f'the chat template refuses the messages: {error}') from error
