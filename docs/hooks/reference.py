"""Parts of the reference that are made from the code when the site is built: options and experiments.

A page asks for a part by a comment of its own line, such as `<!-- options: serjax.train -->`.
"""

import ast
import contextlib
import dataclasses
import importlib
import inspect
import io
import itertools
import logging
import os
import re
import textwrap
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import tyro

ROOT = Path(__file__).parents[2]
EXPERIMENTS = ROOT / "experiments"
"""The folder of the experiments that come with serjax."""

CONFIGS = {
    "serjax.train": "serjax.config.experiment.Experiment",
    "serjax.pretrain": "serjax.config.pretraining.PretrainExperiment",
}
"""The dataclass whose fields are a command's options."""

_WORDS: dict[Any, str] = {int: "integer", float: "number", str: "text", Path: "path"}


class Option(NamedTuple):
    """One field of a configuration as an option of the command line.

    Attributes:
        name: with its dashes, such as `--data.max-clips`.
        values: a description of what it takes, in Markdown.
        default: in Markdown.
        text: the field's docstring.
    """

    name: str
    values: str
    default: str
    text: str


class Section(NamedTuple):
    """The options of one dataclass, without those of dataclasses inside it."""

    title: str
    text: str
    options: list[Option]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the generated parts into a page (called by MkDocs)."""
    parts: dict[str, Callable[[str], str]] = {
        "options": options_page,
        "help": help_page,
        "experiments": experiments_page,
    }
    for name, make in parts.items():
        markdown = re.sub(rf"<!-- {name}: ([\w./-]+) -->", lambda found, make=make: make(found[1]), markdown)
    return markdown


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that loads something from elsewhere (called by MkDocs)."""
    loaded = re.findall(
        r"<(?:script|img|iframe|source)[^>]* src=\"?https?:[^ >]*|<link[^>]* href=\"?https?:[^>]*", output
    )
    if loaded:
        logging.getLogger("mkdocs").warning("%s loads %s", page.file.src_uri, ", ".join(loaded))
    return output


def options_page(command: str) -> str:
    """Return the tables of a command's options."""
    lines: list[str] = []
    for section in sections(command):
        lines += [f"### {section.title}", "", section.text, ""] if section.title else []
        if section.options:
            lines += ["| option | values | default | |", "|---|---|---|---|"]
            lines += [f"| `{one.name}` | {one.values} | {one.default} | {_cell(one.text)} |" for one in section.options]
            lines.append("")
    return "\n".join(lines)


def help_page(command: str) -> str:
    """Return what `python -m COMMAND --help` prints, as a block of text."""
    printed = io.StringIO()
    os.environ["COLUMNS"] = "100"
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        importlib.import_module(command).main(["--help"])
    return f"```text\n{printed.getvalue().rstrip()}\n```"


def experiments_page(folder: str) -> str:
    """Return the docstrings of the experiments in a folder below that of all experiments."""
    lines: list[str] = []
    for path in sorted((EXPERIMENTS / folder).glob("[!_]*.py")):
        summary, _, rest = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")
        lines += [f"### `{path.stem}`", "", summary, ""]
        for name, text in re.findall(r"^(\w+): (.*(?:\n .*)*)", rest, re.M):
            first, _, more = text.partition("\n")
            if name == "Command":
                lines += ["```bash", first, "```", ""]
                lines += ["```text", textwrap.dedent(more), "```", ""] if more else []
            else:
                lines += _paragraph(f"**{name}**: {text}")
    return "\n".join(lines)


def _paragraph(text: str) -> list[str]:
    """Return a paragraph of a docstring as Markdown: options are code, pages are links."""
    text = re.sub(r"(?<![\w`-])(--[\w.-]*\w(?: [A-Z]+)?)", r"`\1`", " ".join(text.split()))
    return [re.sub(r"docs/([\w-]+)/([\w-]+)\.md", r"[\2](../\1/\2.md)", text), ""]


def sections(command: str) -> list[Section]:
    """Return a command's options, a section for each dataclass that its configuration consists of."""
    module, _, name = CONFIGS[command].rpartition(".")
    found = _sections(getattr(importlib.import_module(module), name), "")
    return list({section.title: section for section in found}.values())


def option_names(command: str) -> set[str]:
    """Return the names of a command's options."""
    return {option.name for section in sections(command) for option in section.options}


def _sections(config: type, path: str, title: str = "") -> Iterator[Section]:
    docs, hints = _field_docs(config), typing.get_type_hints(config, include_extras=True)
    options, nested = [], []
    for field in dataclasses.fields(config):
        name = f"{path}{field.name}"
        if tyro.conf.Suppress in getattr(hints[field.name], "__metadata__", ()):
            continue
        found = _dataclasses(hints[field.name])
        if found:
            nested += [(name, one, len(found) > 1) for one in found]
        else:
            option = f"--{name.replace('_', '-')}"
            options.append(Option(option, _values(hints[field.name]), _default(field), docs.get(field.name, "")))
    yield Section(title, inspect.cleandoc(config.__doc__ or ""), options)
    for name, one, several in nested:
        yield from _sections(one, f"{name}.", f"`{name}`" + (f" of {_family(one)}" if several else ""))


def _family(config: type) -> str:
    """Return the values of a member's discriminator."""
    return ", ".join(typing.get_args(typing.get_type_hints(config)["family"]))


def _dataclasses(hint: Any) -> list[type]:
    """Return the dataclasses that a hint allows: itself, or the members of a union."""
    if dataclasses.is_dataclass(hint):
        return [typing.cast(type, hint)]
    if typing.get_origin(hint) is typing.Annotated:
        return _dataclasses(typing.get_args(hint)[0])
    if _is_union(hint):
        return [one for member in typing.get_args(hint) for one in _dataclasses(member)]
    return []


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _values(hint: Any) -> str:
    origin, members = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _values(members[0])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in members)
    if _is_union(hint):
        return " or ".join("`None`" if member is type(None) else _values(member) for member in members)
    if origin is tuple:
        if members[-1] is Ellipsis:
            return f"{_values(members[0])}, any number"
        return " ".join(map(_values, members))
    if hint is bool:
        return "flag"
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return "the experiment's"
    if value in ((), ""):
        return ""
    return f"`{' '.join(map(str, value)) if isinstance(value, tuple) else value}`"


def _field_docs(config: type) -> dict[str, str]:
    """Return the docstrings that follow the fields of a dataclass and of its bases."""
    docs: dict[str, str] = {}
    for base in reversed(config.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        (tree,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(base))).body
        body = typing.cast(ast.ClassDef, tree).body
        for field, after in itertools.pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                docs[field.target.id] = inspect.cleandoc(str(after.value.value))
    return docs


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
