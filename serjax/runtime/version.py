"""Version of serjax, which the build reads from here too, and of the packages under it."""

import platform
from importlib import metadata

__version__ = "0.1.0"


def versions() -> dict[str, str]:
    """Return the versions, by name, of Python, serjax and the packages that decide numbers."""
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
    return {
        "python": platform.python_version(),
        "serjax": __version__,
        **{name: metadata.version(name) for name in packages},
    }
