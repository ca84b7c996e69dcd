"""Write dist/edgeflow.d.ts from the annotations and docstrings of what src/edgeflow/__init__.py exports.

The rules: names become camelCase; keyword-only parameters become one trailing options object with an interface of its own;
dataclasses and classes that the package exports become classes, those it only mentions become interfaces (with optional members
where every field has a default: records of options); docstrings
become TSDoc, and one that begins with "Internal:" keeps its method out. `pipeline` has one overload for each entry of the
table of tasks, whose classes can be called like their run(), with the forms of toolchain/answers.py.
An annotation that has no TypeScript counterpart here ends the build.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from toolchain.annotations import (
    Module, Untypable, argument_name, decorated, frozen, indent, is_name, is_none, literal, setter, task_classes, without_none,
)  # fmt: skip
from toolchain.answers import ANSWERS, BY_TASK, NARROWER, VARIABLE
from toolchain.parts import Parts
from toolchain.paths import DIST, SOURCE
from toolchain.tsdoc import Doc, camel, comment

PRIMITIVES = {
    'int': 'number', 'float': 'number', 'str': 'string', 'bool': 'boolean', 'None': 'null', 'object': 'unknown', 'Any': 'unknown',
    'Bytes': 'Uint8Array', 'bytes': 'Uint8Array', 'Signal': 'AbortSignal', 'AbortSignal': 'AbortSignal', 'Self': 'this',
    'list': 'unknown[]', 'dict': 'Record<string, unknown>', 'Exception': 'Error',
}  # fmt: skip
GENERICS = {
    'AsyncIterator': 'AsyncIterableIterator', 'AsyncGenerator': 'AsyncIterableIterator', 'AsyncIterable': 'AsyncIterable',
    'Iterator': 'IterableIterator', 'Iterable': 'Iterable', 'Awaitable': 'Promise', 'ReadableStream': 'ReadableStream', 'Coroutine': 'Promise', 'set': 'Set',
}  # fmt: skip
TASK_TABLE = 'edgeflow.pipelines.tasks'
NUMERIC_ARRAY = '''\
/** A flat array of numbers of one data type (Float16Array where the platform has it). */
export type NumericArray =
  | Float32Array | Float64Array | Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array
  | BigInt64Array | BigUint64Array
  | (typeof globalThis extends { Float16Array: { prototype: infer T } } ? T : never);
'''


class Declarations:
    """Collects the TypeScript of all exports and of the types they mention."""

    def __init__(self, source: Path = SOURCE) -> None:
        self.source = source
        self.modules: dict[str, Module] = {}
        self.exported: set[str] = set()
        self.pending: list[tuple[str, Module]] = []
        self.written: dict[str, str] = {}
        self.bases: set[str] = set()
        self.variables: list[str] = []
        self.disposes = False
        self.parts = Parts.read()
        self.tasks = task_classes(self.module(TASK_TABLE)) if (source / 'pipelines' / 'tasks.py').is_file() else {}

    def module(self, name: str) -> Module:
        if name not in self.modules:
            self.modules[name] = Module.read(name, self.source)
        return self.modules[name]

    def generate(self) -> str:
        root = self.module('edgeflow')
        names = [*root.defined, *root.imported]
        for name in names:
            if not name.startswith('_') and name not in ('annotations', 'TYPE_CHECKING'):
                # What a part brings is no value that a page could import: its classes are types only.
                if self.parts.of(root.imported.get(name, ('', ''))[0]) is None:
                    self.exported.add(name)
                self.pending.append((name, root))
        for name in self.exported:
            found = self.find(name, root)
            self.bases |= {base.id for s in (found[1] if found else []) if isinstance(s, ast.ClassDef) for base in s.bases if isinstance(base, ast.Name)}
        while self.pending:
            name, module = self.pending.pop(0)
            if name not in self.written:
                self.written[name] = ''
                self.written[name] = self.declare(name, module)
        head = '// Generated from the Python sources by toolchain/dts.py.\n\n'
        if self.disposes:
            head = '/// <reference lib="esnext.disposable" />\n' + head
        return head + '\n'.join(filter(None, self.written.values()))

    def find(self, name: str, module: Module) -> tuple[Module, list[ast.stmt]] | None:
        """Where a name is really defined, imports followed."""
        while name in module.imported and module.imported[name][0].startswith('edgeflow'):
            origin, name = module.imported[name]
            module = self.module(origin)
        return (module, module.defined[name]) if name in module.defined else None

    def declare(self, name: str, module: Module) -> str:
        if name == 'NumericArray':
            return NUMERIC_ARRAY
        found = self.find(name, module)
        if found is None:
            raise Untypable(f'{module.path}: {name} is exported, and its definition was not found')
        home, statements = found
        first = statements[0]
        match first:
            case ast.ClassDef():
                return self.declare_class(first, home, exported=name in self.exported)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                overloads = [s for s in statements if decorated(s, 'overload')] or statements[-1:]
                return ''.join(self.declare_function(s, home, shared=statements[-1]) for s in overloads)
            case ast.AnnAssign(annotation=annotation) if not is_name(annotation, 'TypeAlias'):
                return f'export const {camel(name)}: {self.type(annotation, home)};\n'
            case ast.Assign(value=ast.Call(func=ast.Name(id=maker))):
                return f'export const {camel(name)}: {self.reference(maker, home, first)};\n'
            case ast.Assign(value=ast.Constant(value=value)):
                return f'export const {camel(name)}: {literal(value)};\n'
            case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
                return f'export type {name} = {self.type(value, home)};\n'
        raise Untypable(f'{home.path}:{first.lineno}: {name} is exported; annotate it: {name}: TYPE = ...')

    def declare_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, home: Module, shared: ast.stmt) -> str:
        doc = Doc.of(node) if ast.get_docstring(node) else Doc.of(shared)
        before, signature = self.signature(node, home, camel(node.name, upper=True), doc)
        if node.name == 'pipeline' and self.tasks:
            return before + ''.join(self.task_overload(made, names, signature, doc) for made, names in self.tasks.items())
        return f'{before}{comment(doc.text)}export function {camel(node.name)}{signature};\n'

    def task_overload(self, made: str, names: list[str], signature: str, doc: Doc) -> str:
        """pipeline() for one class of pipelines, more than once if its tasks answer differently."""
        self.pending.append((made, self.module(TASK_TABLE)))
        groups: dict[str, list[str]] = {}
        for name in names:
            groups.setdefault(f'{made}<{BY_TASK[made][name]}>' if name in BY_TASK.get(made, {}) else made, []).append(name)
        text = ''
        for kind, named in groups.items():
            task = ' | '.join(map(literal, named))
            own = signature.replace('(task: string', f'(task: {task}', 1).replace('Promise<Pipeline>', f'Promise<{kind}>')
            text += f'{comment(doc.text)}export function pipeline{own};\n'
        return text

    def forms(self, owner: str, options: str, home: Module) -> list[str]:
        """The signatures of a pipeline's run() that toolchain/answers.py has; what they name is declared, too."""
        signatures = []
        for given, answer in ANSWERS.get(owner, []):
            for name in re.findall(r'\b[A-Z]\w+', f'{given} {answer} {" ".join(BY_TASK.get(owner, {}).values())}'):
                if name in NARROWER:
                    self.written.setdefault(name, NARROWER[name][1])
                elif self.find(name, home):
                    self.pending.append((name, home))
            found = re.fullmatch(r'(<[^>]*>)?(.*)', given)
            assert found
            parameters = re.sub(r'\bOptions\b', options, found[2])
            signatures.append(f'{found[1] or ""}({parameters}): Promise<{answer}>')
        return signatures

    def signature(self, node: ast.FunctionDef | ast.AsyncFunctionDef, home: Module, title: str, doc: Doc, *, method: bool = False) -> tuple[str, str]:
        """The interface of the options, if any, and '(a: A, options?: TitleOptions): R'."""
        args = node.args
        if args.vararg or args.kwarg:
            raise Untypable(f'{home.path}:{node.lineno}: {node.name} has * or ** parameters; name them')
        self.variables = []
        positional = [*args.posonlyargs, *args.args][1 if method and not decorated(node, 'staticmethod') else 0 :]
        required = len(positional) - len(args.defaults)
        parts = [self.parameter(arg, home, optional=i >= required) for i, arg in enumerate(positional)]
        before = ''
        if args.kwonlyargs:
            interface = f'{title}Options'
            members = []
            for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
                about = doc.about(arg.arg, default)
                members.append(indent(comment(about) + self.parameter(arg, home, optional=default is not None) + ';\n'))
            before = f'/** Options of {doc.owner}. */\nexport interface {interface} {{\n{"".join(members)}}}\n\n'
            parts.append(f'options{"?" if None not in args.kw_defaults else ""}: {interface}')
        returned = self.returned(node, home)
        variables = f'<{", ".join(dict.fromkeys(self.variables))}>' if self.variables else ''
        return before, f'{variables}({", ".join(parts)}): {returned}'

    def parameter(self, arg: ast.arg, home: Module, *, optional: bool) -> str:
        if arg.annotation is None:
            raise Untypable(f'{home.path}:{arg.lineno}: parameter {arg.arg} has no annotation')
        return f'{camel(arg.arg)}{"?" if optional else ""}: {self.type(arg.annotation, home, given=True)}'

    def returned(self, node: ast.FunctionDef | ast.AsyncFunctionDef, home: Module) -> str:
        if node.returns is None:
            raise Untypable(f'{home.path}:{node.lineno}: {node.name} has no return annotation')
        inner = 'void' if is_none(node.returns) else self.type(node.returns, home)
        generates = any(isinstance(child, (ast.Yield, ast.YieldFrom)) for child in ast.walk(node))
        return f'Promise<{inner}>' if isinstance(node, ast.AsyncFunctionDef) and not generates else inner

    def declare_class(self, node: ast.ClassDef, home: Module, *, exported: bool) -> str:
        doc = Doc.of(node)
        record = decorated(node, 'dataclass')
        readonly = 'readonly ' if record and frozen(node) else ''
        bases = [b.id for b in node.bases if isinstance(b, ast.Name) and b.id not in ('Protocol', 'object', 'Generic')]
        base = f' extends {self.reference(bases[0], home, node)}' if bases else ''
        inherited = base if exported and bases and bases[0] not in self.exported | PRIMITIVES.keys() else ''
        base = '' if inherited else base
        before, members = '', []
        fields = [s for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
        options = record and not exported and all(item.value is not None for item in fields)
        for item in fields:
            name = item.target.id
            if not name.startswith('_'):
                optional = '?' if options else ''
                members.append(comment(doc.about(name, item.value)) + f'{readonly}{camel(name)}{optional}: {self.type(item.annotation, home)};\n')
        methods = [s for s in node.body if isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef))]
        maker = next((m for m in methods if m.name == '__init__'), None)
        if exported:
            members.append(self.constructor(fields if record else None, maker, home, public=record or base.endswith('Error'), kind='protected' if node.name in self.bases else 'private'))
        if maker is not None:
            members += self.assigned(maker, home, {f.target.id for f in fields}, doc)
        calls = []
        for item in methods:
            if item.name.startswith('_') and item.name != '__call__':
                continue
            about = Doc.of(item)
            about.owner = f'{node.name}.{about.owner}'
            if about.text.startswith('Internal:'):
                continue
            if decorated(item, 'property'):
                settable = any(setter(m, item.name) for m in methods)
                members.append(comment(about.text) + f'{"" if settable else "readonly "}{camel(item.name)}: {self.returned(item, home)};\n')
                continue
            if setter(item, item.name):
                continue
            same = [m for m in methods if m.name == item.name]
            if len(same) > 1 and not decorated(item, 'overload'):
                continue
            title = node.name + ('' if item.name in ('run', '__call__') else camel(item.name, upper=True))
            options, signature = self.signature(item, home, f'{title}Run' if item.name in ('run', '__call__') else title, about, method=True)
            if options and options not in before:
                before += options
            static = 'static ' if decorated(item, 'staticmethod') or decorated(item, 'classmethod') else ''
            if item.name == 'run' and node.name in self.tasks:
                forms = self.forms(node.name, f'{title}RunOptions', home)
                narrower = [form for form in forms if form.split('): ')[0] == signature.split('): ')[0]]
                *forms, signature = [*forms, *([] if narrower else [signature])]
                for form in forms:
                    calls.append(comment(about.text) + form + ';\n')
                    members.append(f'{comment(about.text)}run{form};\n')
                calls.append(comment(about.text) + signature + ';\n')
            if item.name == '__call__':
                calls.append(comment(about.text) + signature + ';\n')
            else:
                members.append(comment(about.text) + f'{static}{camel(item.name)}{signature};\n')
        variable = ''
        if node.name in BY_TASK:
            # Its run() is the one of its base, with other answers.
            base, inherited_options = f" extends Omit<{bases[0]}, 'run'>", f'{bases[0]}RunOptions'
            variable = f'<{VARIABLE} = {BY_TASK[node.name][None]}>'
            for form in self.forms(node.name, inherited_options, home):
                calls.append(form + ';\n')
                members.append(f'run{form};\n')
        if exported and any(m.name == 'dispose' and isinstance(m, ast.FunctionDef) for m in methods):
            members.append('/** dispose(), at the end of a block that has it in `using`. */\n[Symbol.dispose](): void;\n')
            self.disposes = True
        if exported and any(m.name == '__aexit__' for m in methods):
            members.append('/** dispose(), at the end of a block that has it in `await using`. */\n[Symbol.asyncDispose](): Promise<void>;\n')
        following = next((m for m in methods if m.name == '__anext__'), None)
        if following is not None:
            item = self.returned(following, home).removeprefix('Promise<')[:-1]
            members.append(f'next(): Promise<IteratorResult<{item}, undefined>>;\n')
            if any(m.name == 'aclose' for m in methods):
                members.append(f'/** aclose(), at the end of a loop that is left early. */\nreturn(): Promise<IteratorResult<{item}, undefined>>;\n')
            members.append('[Symbol.asyncIterator](): this;\n')
        kind = 'class' if exported else 'interface'
        body = ''.join(indent(member) for member in (members if exported else [*calls, *members]))
        text = f'{before}{comment(doc.text)}export {kind} {node.name}{variable}{base} {{\n{body}}}\n'
        if exported and (calls or inherited):
            text += f'export interface {node.name}{inherited} {{\n{"".join(indent(call) for call in calls)}}}\n'
        return text

    def constructor(self, fields: list[ast.AnnAssign] | None, maker: ast.FunctionDef | ast.AsyncFunctionDef | None, home: Module, *, public: bool, kind: str = 'private') -> str:
        """Records and errors are made by their users; anything else comes from a function of this package."""
        if not public:
            return f'{kind} constructor();\n'
        if fields is not None:
            public_fields = [f for f in fields if not f.target.id.startswith('_')]
            parts = [f'{camel(f.target.id)}{"?" if f.value is not None else ""}: {self.type(f.annotation, home, given=True)}' for f in public_fields]
            return f'constructor({", ".join(parts)});\n'
        if maker is None:
            return ''
        _, signature = self.signature(maker, home, '', Doc.of(maker), method=True)
        return 'constructor' + signature.removesuffix(': void') + ';\n'

    def assigned(self, maker: ast.FunctionDef | ast.AsyncFunctionDef, home: Module, known: set[str], doc: Doc) -> list[str]:
        """Public attributes that __init__ sets: typed by annotation, by the parameter, or by the function called."""
        found: list[str] = []
        parameters = {arg.arg: arg.annotation for arg in [*maker.args.args, *maker.args.kwonlyargs]}
        for item in ast.walk(maker):
            match item:
                case ast.AnnAssign(target=ast.Attribute(value=ast.Name(id='self'), attr=name), annotation=annotation):
                    kind = annotation
                case ast.Assign(targets=[ast.Attribute(value=ast.Name(id='self'), attr=name)], value=value):
                    kind = None
                    names = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}
                    if isinstance(value, ast.Name) and parameters.get(value.id) is not None:
                        kind = parameters[value.id]
                    elif isinstance(value, ast.IfExp) and len(names & parameters.keys()) == 1:
                        kind = without_none(parameters[(names & parameters.keys()).pop()])
                    elif isinstance(value, ast.Constant) and value.value is not None:
                        kind = ast.Name(type(value.value).__name__)
                    elif isinstance(value, ast.Call) and is_name(value.func, 'cast'):
                        kind = value.args[0]
                    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ('str', 'int', 'float', 'bool'):
                        kind = value.func
                    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
                        target = self.find(value.func.id, home)
                        if target and isinstance(target[1][-1], ast.FunctionDef):
                            kind = target[1][-1].returns
                case _:
                    continue
            if name.startswith('_') or name in known:
                continue
            known.add(name)
            if kind is None:
                raise Untypable(f'{home.path}:{item.lineno}: public attribute {name} needs an annotation: self.{name}: TYPE = ...')
            found.append(comment(doc.about(name, None)) + f'{camel(name)}: {self.type(kind, home)};\n')
        return found

    def reference(self, name: str, home: Module, at: ast.AST) -> str:
        """The TypeScript name of a class or alias, which is then declared too."""
        if name in PRIMITIVES:
            return PRIMITIVES[name]
        if name in GENERICS:
            return f'{GENERICS[name]}<unknown>'
        found = self.find(name, home)
        if found is None:
            raise Untypable(f'{home.path}:{at.lineno}: {name} has no TypeScript counterpart')
        if isinstance(found[1][0], ast.Assign) and isinstance(found[1][0].value, ast.Call) and is_name(found[1][0].value.func, 'TypeVar'):
            self.variables.append(name)
            return name
        self.pending.append((name, home))
        return name

    def type(self, node: ast.expr, home: Module, *, given: bool = False) -> str:
        """An annotation in TypeScript. given: the caller hands it in, so arrays need not be writable."""
        match node:
            case ast.Constant(value=None):
                return 'null'
            case ast.Constant(value=str(text)):
                return self.type(ast.parse(text, mode='eval').body, home, given=given)
            case ast.Name(id=name):
                return self.reference(name, home, node)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                parts = [self.type(part, home, given=given) for part in (left, right)]
                parts = [f'({part})' if '=>' in part and not part.startswith('(((') else part for part in parts]
                return ' | '.join(dict.fromkeys(' | '.join(parts).split(' | '))) if '(' not in ''.join(parts) else ' | '.join(parts)
            case ast.Subscript(value=ast.Name(id=name), slice=inner):
                return self.generic(name, inner, node, home, given=given)
        raise Untypable(f'{home.path}:{node.lineno}: {ast.unparse(node)} has no TypeScript counterpart')

    def generic(self, name: str, inner: ast.expr, node: ast.expr, home: Module, *, given: bool) -> str:
        items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if name == 'Literal':
            return ' | '.join(literal(item.value) for item in items if isinstance(item, ast.Constant))
        if name == 'Callable':
            takes = items[0].elts if isinstance(items[0], ast.List) else []
            arguments = ', '.join(f'{argument_name(t, i)}: {self.type(t, home)}' for i, t in enumerate(takes))
            result = 'void' if is_none(items[1]) else self.type(items[1], home)
            return f'({arguments}) => {result}'
        readonly = 'readonly ' if given else ''
        if name == 'tuple' and not (len(items) == 2 and isinstance(items[1], ast.Constant) and items[1].value is ...):
            return f'{readonly}[{", ".join(self.type(item, home, given=given) for item in items)}]'
        if name in ('list', 'tuple', 'Sequence'):
            element = self.type(items[0], home, given=given)
            return f'{readonly}({element})[]' if re.search(r'[|>]| ', element) else f'{readonly}{element}[]'
        if name == 'Mapping':  # not a plain object in JS: a Map that edgeflow hands out as it is
            return f'ReadonlyMap<string, {self.type(items[1], home, given=given)}>'
        if name == 'dict':
            value = self.type(items[1], home, given=given)
            return f'Readonly<Record<string, {value}>>' if given else f'Record<string, {value}>'
        if name == 'Optional':
            return f'{self.type(inner, home, given=given)} | null'
        if name in GENERICS:
            return f'{GENERICS[name]}<{self.type(items[-1] if name == "Coroutine" else items[0], home, given=given)}>'
        raise Untypable(f'{home.path}:{node.lineno}: {ast.unparse(node)} has no TypeScript counterpart')


def write_dts() -> Path:
    """Generate dist/edgeflow.d.ts."""
    DIST.mkdir(exist_ok=True)
    target = DIST / 'edgeflow.d.ts'
    target.write_text(Declarations().generate())
    return target


if __name__ == '__main__':
    print(write_dts())
