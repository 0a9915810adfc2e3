"""Jitted functions whose shardings are known only with their arguments."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np


class SplitProgram:
    """Jitted function whose shardings hang on the shapes of its arguments, of which some are split."""

    def __init__(
        self, function: Callable[..., Any], inputs: Callable[..., Any], outputs: Callable[..., Any], options: Any
    ) -> None:
        self._function, self._inputs, self._outputs, self._options = function, inputs, outputs, options
        self._programs: dict[Any, Any] = {}

    def _jitted(self, arguments: Sequence[Any]) -> Any:
        leaves, structure = jax.tree.flatten(arguments)
        key = structure, tuple(map(np.shape, leaves))
        if key not in self._programs:
            self._programs[key] = jax.jit(
                self._function,
                in_shardings=self._inputs(arguments),
                out_shardings=self._outputs(arguments),
                **self._options,
            )
        return self._programs[key]

    def lower(self, *arguments: Any) -> jax.stages.Lowered:
        """Return the function lowered for arguments, or shapes of them."""
        lowered: jax.stages.Lowered = self._jitted(arguments).lower(*arguments)
        return lowered

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return self._jitted(arguments)(*arguments)
