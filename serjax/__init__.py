"""Speech emotion recognition in JAX."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from serjax.inference.ensemble import Ensemble, load

__all__ = ["Ensemble", "load"]


def __getattr__(name: str) -> Any:
    # JAX is imported when it is needed: `serjax.__version__` and error messages should not wait for it.
    if name in __all__:
        from serjax import predict

        return getattr(predict, name)
    raise AttributeError(f"module 'serjax' has no attribute {name!r}")
