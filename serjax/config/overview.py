"""Short help of the commands that take an experiment: examples, the options that people use, and the experiments."""

import ast
import shutil
import textwrap
from pathlib import Path
from typing import Any

from serjax.config.experiment import Experiment
from serjax.config.options import field_name, option_names
from serjax.config.pretraining import PretrainExperiment
from serjax.config.registry import Kind, locate, names, read

USED: dict[type, tuple[tuple[str, str], ...]] = {
    Experiment: (
        ("--data.root PATH", "folder of recordings, or a list of them (.csv, .tsv, .jsonl, .scp)"),
        ("--data.speaker-pattern REGEX", "finds the speaker in a clip's path"),
        ("--data.max-seconds S", "length of training crops, and the most that is heard in evaluation"),
        ("--folds.count K", "number of folds"),
        ("--model.family NAME", "hubert, wavlm, audio_cnn, bilstm, fusion, ...: another kind of model"),
        ("--model.checkpoint ID", "pretrained weights: Hugging Face directory or hub id, or a run"),
        ("--model.freeze PART", "auto, nothing, cnn, layers or encoder; encoder trains heads alone"),
        ("--optimizer.max-lr RATE", "peak learning rate"),
        ("--train.epochs N", "most epochs; the best one by validation is kept"),
        ("--train.batch-size N", "clips a step"),
        ("--search FIELD VALUE ...", "train with each of these values; may be given again"),
        ("--seed N", "decides folds, weights and order"),
        ("--name NAME", "name of the run folder, in --out"),
        ("--overwrite", "start again where a finished run has this name"),
        ("--dry-run", "look at clips, folds, memory and time, and train nothing"),
    ),
    PretrainExperiment: (
        ("--data.root PATH", "folder of recordings, or a list of them (.csv, .tsv, .jsonl, .scp)"),
        ("--tapt.corpus WHICH", "train (what a fold does not test), all or unlabelled clips"),
        ("--tapt.more DIR ...", "further recordings, without labels"),
        ("--model.checkpoint ID", "HuBERT to start from: Hugging Face directory or hub id, or a run"),
        ("--model.size SIZE", "random weights of this size: tiny, small, base or large"),
        ("--labels.of WHAT", "layer or mfcc: features whose clusters are the labels"),
        ("--masked.updates N", "steps of masked prediction"),
        ("--folds.count K", "number of folds"),
        ("--seed N", "decides folds, weights and order"),
        ("--name NAME", "name of the run folder, in --out"),
        ("--overwrite", "start again where a finished run has this name"),
    ),
}
"""Options that people use, and what they are."""

ACTIONS = ("--dry-run",)
"""Options that are no fields of an experiment."""

EXAMPLES: dict[type, tuple[str, str]] = {
    Experiment: ("--exp quickstart", "--exp hubert_kfold --data.root recordings"),
    PretrainExperiment: (
        "--exp tapt_hubert --data.root recordings",
        "--exp tapt_hubert --data.root recordings --model.size small --labels.of mfcc",
    ),
}
"""Arguments of two commands that show how it is used."""


def overview(program: str, kind: type[Kind], name: str | None) -> str:
    """Return the short help of a command.

    Args:
        program: what is typed for the command, such as `python -m serjax.train`.
        kind: of experiment.
        name: experiment whose values are shown as defaults; None: no values are, and all experiments are listed.

    Raises:
        UserError: there is no such experiment.
    """
    lines: list[str] = [f"usage: {program} --exp NAME [--OPTION VALUE ...]", "", "examples:"]
    lines += [f"  {program} {arguments}" for arguments in EXAMPLES[kind]]
    path = None if name is None else locate(name, kind)
    settings: Any = None if path is None else read(path, kind)
    values = "" if name is None else f" with their values in {name}"
    lines += ["", f"options{values} (all: {program} --exp {name or 'NAME'} --help all):"]
    used = USED[kind]
    if settings is not None:
        # Those of a model depend on its family.
        known = option_names(settings)
        used = tuple(one for one in used if one[0] in ACTIONS or field_name(one[0].split()[0]) in known)
    lines += _rows([(option, text, _value(option, settings)) for option, text in used])
    if path is None:
        lines += ["", "experiments:"]
        lines += _rows([(one, summary(locate(one, kind)), "") for one in names(kind)])
    else:
        lines += ["", f"{name}: {summary(path)}"]
    return "\n".join(lines) + "\n"


def summary(path: Path) -> str:
    """Return the first line of a Python file's docstring, or nothing where there is none."""
    try:
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    except (SyntaxError, UnicodeDecodeError):
        return ""
    return text.partition("\n")[0]


def _value(option: str, settings: Any) -> str:
    """Return the value that settings have of an option, in brackets; nothing where none is given."""
    value = settings
    for part in field_name(option.split()[0]).split("."):
        value = getattr(value, part, None)
    if value is None or value is False or value in ("", ()):
        return ""
    return f" [{' '.join(map(str, value)) if isinstance(value, tuple) else value}]"


def _rows(rows: list[tuple[str, str, str]]) -> list[str]:
    """Return a line for each name, description and value; descriptions are shortened to the width of the terminal."""
    width, column = shutil.get_terminal_size().columns, max(len(first) for first, *_ in rows)
    lines = []
    for first, text, value in rows:
        room = max(width - column - 4 - len(value), 20)
        shown = textwrap.shorten(text, room, placeholder=" ...", break_on_hyphens=False)
        lines.append(f"  {first:<{column}}  {shown}{value}")
    return lines
