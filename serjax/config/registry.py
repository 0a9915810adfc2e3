"""Experiments by name: those of the user's folder `experiments/`, and those that come with serjax.

An experiment is a Python file with a function `experiment()`. Those of `serjax.pretrain` are in the folder
`pretraining` below the others.
"""

import difflib
import importlib.util
import logging
from pathlib import Path
from typing import Any, TypeVar

from serjax.config.experiment import Experiment
from serjax.config.options import with_fields
from serjax.config.pretraining import PretrainExperiment
from serjax.runtime.errors import UserError

Kind = TypeVar("Kind", Experiment, PretrainExperiment)

log = logging.getLogger(__name__)


def folders(kind: type[Kind]) -> list[Path]:
    """Return the folders in which experiments of a kind are looked for, the first one first."""
    package = Path(__file__).parents[1]
    # In a wheel they are in the package; in a checkout, and so in an editable install, beside it.
    bundled = next(path for path in (package / "_experiments", package.parent / "experiments") if path.is_dir())
    below = "pretraining" if kind is PretrainExperiment else ""
    return [folder / below for folder in dict.fromkeys((Path.cwd() / "experiments", bundled))]


def names(kind: type[Kind]) -> list[str]:
    """Return the names of all experiments of a kind."""
    return sorted({path.stem for folder in folders(kind) for path in folder.glob("*.py") if _is_experiment(path)})


def locate(name: str, kind: type[Kind]) -> Path:
    """Return the file of the experiment called `name`, or `name` itself where it ends with .py.

    Raises:
        UserError: there is none; it names the one whose name is the nearest.
    """
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise UserError(f"--exp {name}: there is no such file; give a Python file that defines experiment().")
        return Path(name)
    known = names(kind)
    if name in known:
        return next(path for folder in folders(kind) if _is_experiment(path := folder / f"{name}.py"))
    command = "serjax.train" if kind is PretrainExperiment else "serjax.pretrain"
    if name in (*names(Experiment), *names(PretrainExperiment)):
        raise UserError(f"--exp {name}: it is for {command}; choose one of {', '.join(known)}, or give a .py file.")
    near = difflib.get_close_matches(name, known, 1)
    meant = f"did you mean {near[0]}? There are" if near else "choose one of"
    raise UserError(f"--exp {name}: there is no such experiment; {meant} {', '.join(known)}, or give a .py file.")


def read(path: Path, kind: type[Kind]) -> Kind:
    """Return the experiment that a file defines.

    Raises:
        UserError: it has no function `experiment()`, or one that returns something else.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    called = "an Experiment" if kind is Experiment else f"a {kind.__name__}"
    if not hasattr(module, "experiment"):
        raise UserError(f"{path}: it defines no function experiment() that returns {called}; add one.")
    found = module.experiment()
    if not isinstance(found, kind):
        raise UserError(f"{path}: experiment() returns a {type(found).__name__}; it must return {called}.")
    return found


def find(name: str, kind: type[Kind]) -> Kind:
    """Return an experiment by its name or file, and log which file was taken; see `locate` and `read`."""
    path = locate(name, kind)
    log.info(f"Experiment: {path}")
    return read(path, kind)


def experiment(name: str, /, **changes: Any) -> Any:
    """Return an experiment by its name or file, with other values of some fields.

    Args:
        name: such as `quickstart`; those of `serjax.pretrain`, such as `tapt_hubert`, are found too.
        changes: values by dotted names of fields, such as `**{"data.root": "recordings", "train.epochs": 3}`.

    Returns:
        An `Experiment` or a `PretrainExperiment`, for `serjax.run` or for `dataclasses.replace`.

    Raises:
        UserError: there is no such experiment or field, or a value does not fit.
    """
    kind: Any = PretrainExperiment if name in names(PretrainExperiment) else Experiment
    return with_fields(find(name, kind), changes)


def _is_experiment(path: Path) -> bool:
    """Look whether a file defines an experiment: a user's folder may hold anything."""
    return path.is_file() and "def experiment(" in path.read_text(encoding="utf-8", errors="replace")
