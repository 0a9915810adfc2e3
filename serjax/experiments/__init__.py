"""The experiments that come with serjax, a module each, those of pretraining in a folder of their own."""

import importlib
import importlib.util
from pathlib import Path
from typing import TypeVar

from serjax.config.experiment import Experiment
from serjax.config.pretraining import PretrainExperiment
from serjax.runtime.errors import UserError

Kind = TypeVar("Kind", Experiment, PretrainExperiment)


def names(kind: type[Kind]) -> list[str]:
    """Return the names of the experiments of a kind that come with serjax."""
    folder = Path(__file__).parent / ("pretraining" if kind is PretrainExperiment else "")
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def find(name: str, kind: type[Kind]) -> Kind:
    """Return the experiment called `name`, or the one that the Python file `name` defines.

    Such a file has a function `experiment()` that returns it.

    Raises:
        UserError: no such experiment or file, or a file without that function.
    """
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise UserError(f"--exp {name}: there is no such file; give a Python file that defines experiment().")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if not hasattr(module, "experiment"):
            raise UserError(f"{name}: it defines no function experiment() that returns {_called(kind)}; add one.")
    elif name in names(kind):
        folder = "pretraining." if kind is PretrainExperiment else ""
        module = importlib.import_module(f"{__name__}.{folder}{name}")
    else:
        other = " for serjax.train" if kind is PretrainExperiment else " for serjax.pretrain"
        where = other if name in (*names(Experiment), *names(PretrainExperiment)) else ""
        raise UserError(
            f"--exp {name}: {f'it is{where}' if where else 'there is no such experiment'}; choose one of "
            f"{', '.join(names(kind))}, or give a .py file."
        )
    found = module.experiment()
    if not isinstance(found, kind):
        raise UserError(f"{name}: experiment() returns a {type(found).__name__}; it must return {_called(kind)}.")
    return found


def _called(kind: type[Kind]) -> str:
    return "an Experiment" if kind is Experiment else f"a {kind.__name__}"
