"""Speech emotion recognition in JAX."""

import importlib
from typing import TYPE_CHECKING, Any

from serjax.runtime.version import __version__

if TYPE_CHECKING:
    from serjax.config.experiment import Experiment
    from serjax.config.registry import experiment
    from serjax.inference.encoder import load_encoder
    from serjax.inference.ensemble import Ensemble
    from serjax.inference.load import load
    from serjax.runs.run import run
    from serjax.runtime.errors import UserError

# Imported when they are used: JAX takes seconds, which nobody should wait for who asks for a version or for help.
_HOMES = {
    "Ensemble": "serjax.inference.ensemble",
    "Experiment": "serjax.config.experiment",
    "UserError": "serjax.runtime.errors",
    "experiment": "serjax.config.registry",
    "load": "serjax.inference.load",
    "load_encoder": "serjax.inference.encoder",
    "run": "serjax.runs.run",
}

__all__ = ["Ensemble", "Experiment", "UserError", "__version__", "experiment", "load", "load_encoder", "run"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'serjax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
