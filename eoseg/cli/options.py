"""The options of eoseg's own classes, read from their source without importing them.

Importing Lightning takes seconds; `ast` takes a tenth of one. So help, and the line about a mistyped key,
come at once, and from the same signatures and docstrings that the configuration is parsed by.
"""

import ast
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from eoseg.errors import ConfigError, unknown_name

PACKAGE = Path(__file__).parents[1]

_LINKED_TO_DATA = {"schema", "chip_size"}
"""Constructor arguments of a task that the data give."""


@dataclass(frozen=True, slots=True)
class Option:
    """One constructor argument."""

    name: str
    annotation: str
    default: str | None
    """Source of the default, or None where a value is needed."""
    doc: str


@cache
def options_of(name: str) -> dict[str, Option] | None:
    """The constructor arguments of a class by its name or import path; None for a foreign class."""
    node = _classes().get(name.rpartition(".")[2])
    if node is None or not (name.startswith("eoseg.") or "." not in name):
        return None
    init = _constructor(node)
    docs = _documented(ast.get_docstring(init) if init else None)
    docs |= {key: text for key, text in _documented(ast.get_docstring(node)).items() if key not in docs}
    found = list(_arguments(init) if init else _fields(node))
    linked: set[str] = set()
    if any(option.name == "schema" for option in found):
        linked = _LINKED_TO_DATA
    elif name.rpartition(".")[2] in subclasses_of("EOData"):
        linked = {"seed"}  # seed_everything gives it
    return {
        option.name: Option(option.name, option.annotation, option.default, docs.get(option.name, option.doc))
        for option in found
        if option.name not in linked
    }


@cache
def subclasses_of(base: str) -> tuple[str, ...]:
    """Names of the classes that a configuration can choose where it needs one of a kind.

    Args:
        base: Name of their base class, such as "Task" or "EOData". Those with subclasses are left out.
    """
    parents = {name: [ast.unparse(entry) for entry in node.bases] for name, node in _classes().items()}

    def below(name: str) -> list[str]:
        found = sorted(child for child, bases in parents.items() if name in bases)
        return [leaf for child in found for leaf in (below(child) or [child])]

    return tuple(dict.fromkeys(below(base)))


@cache
def trainer_options() -> dict[str, Option]:
    """The arguments of Lightning's Trainer, from its source file."""
    spec = importlib.util.find_spec("lightning")
    if spec is None or spec.origin is None:
        raise ConfigError("lightning is not installed. Run scripts/setup.")
    source = (Path(spec.origin).parent / "pytorch" / "trainer" / "trainer.py").read_text()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == "Trainer":
            init = next(n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
            docs = _documented(ast.get_docstring(init))
            return {
                o.name: Option(o.name, o.annotation, o.default, docs.get(o.name, ""))
                for o in _arguments(init)
            }
    raise ConfigError("lightning has no Trainer class where eoseg looks for it. Install lightning 2.6.")


def nested_classes(annotation: str) -> list[str]:
    """The names of eoseg's classes in a type annotation."""
    return [name for name in re.findall(r"\w+", annotation) if name in _classes()]


def check_class(name: str, values: Mapping[str, Any], *, where: str) -> None:
    """Refuse keys that a class does not take, all the way down.

    Args:
        name: Name or import path of the class.
        values: What the configuration gives it.
        where: Place of these values in the configuration, such as "data.init_args".

    Raises:
        ConfigError: A key is unknown; the line names the nearest known one.
    """
    options = options_of(name)
    if options is not None:
        check_keys(options, values, where=where)


def check_keys(options: Mapping[str, Option], values: Mapping[str, Any], *, where: str) -> None:
    """Refuse keys that are no option, all the way down."""
    for key, value in values.items():
        head, _, rest = str(key).partition(".")
        place = f"{where}.{head}" if where else head
        if head not in options:
            raise ConfigError(f"In '{where}': " + unknown_name("option", head, options))
        item = {rest: value} if rest else value
        for part in item if isinstance(item, list) else [item]:
            if isinstance(part, Mapping):
                _check_nested(options[head], part, where=place)


def _check_nested(option: Option, values: Mapping[str, Any], *, where: str) -> None:
    if "class_path" in values:
        init_args = values.get("init_args") or {}
        check_class(str(values["class_path"]), init_args, where=f"{where}.init_args")
        return
    candidates = nested_classes(option.annotation)
    if len(candidates) == 1:
        check_class(candidates[0], values, where=where)


@cache
def _classes() -> dict[str, ast.ClassDef]:
    """Every class of the package that a configuration can name."""
    return {
        node.name: node
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }


def _constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
    """The `__init__` of a class, its own or the nearest that it inherits within the package."""
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return statement
    for base in node.bases:
        parent = _classes().get(ast.unparse(base))
        inherited = _constructor(parent) if parent is not None else None
        if inherited is not None:
            return inherited
    return None


def _arguments(init: ast.FunctionDef) -> Iterator[Option]:
    positional = init.args.args[1:]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(init.args.defaults))
    pairs = [*zip(positional, [*defaults, *init.args.defaults], strict=True)]
    pairs += zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)
    for argument, default in pairs:
        annotation = ast.unparse(argument.annotation) if argument.annotation else ""
        yield Option(argument.arg, annotation, None if default is None else ast.unparse(default), "")


def _fields(node: ast.ClassDef) -> Iterator[Option]:
    """The fields of a dataclass; a string below a field is its docstring."""
    following = [*node.body[1:], ast.Pass()]
    for statement, after in zip(node.body, following, strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            below = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            doc = str(after.value.value) if below else ""  # type: ignore[attr-defined]
            default = None if statement.value is None else ast.unparse(statement.value)
            yield Option(
                statement.target.id, ast.unparse(statement.annotation), default, " ".join(doc.split())
            )


def _documented(docstring: str | None) -> dict[str, str]:
    """The Args section of a Google docstring."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", docstring or "", re.MULTILINE)
    if not section:
        return {}
    entries = re.findall(r"^    (\w+)(?: \([^)]*\))?: ((?:.*\n?)(?:^ {5,}.*\n?)*)", section[1], re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
