"""The experiments that come with serjax, a module each, and how one is found."""

import importlib
import importlib.util
from pathlib import Path

from serjax.config import Experiment
from serjax.errors import UserError


def names() -> list[str]:
    """Return the names of the experiments that come with serjax."""
    folder = Path(__file__).parent
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def find(name: str) -> Experiment:
    """Return the experiment called `name`, or the one that the Python file `name` defines.

    Such a file has a function `experiment()` that returns an `Experiment`.

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
            raise UserError(f"{name}: it defines no function experiment() that returns an Experiment; add one.")
    elif name in names():
        module = importlib.import_module(f"serjax.experiments.{name}")
    else:
        raise UserError(
            f"--exp {name}: there is no such experiment; choose one of {', '.join(names())}, or give a .py file."
        )
    found = module.experiment()
    if not isinstance(found, Experiment):
        raise UserError(f"{name}: experiment() returns a {type(found).__name__}; it must return an Experiment.")
    return found
