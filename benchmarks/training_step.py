"""A training step of serjax, as benchmarks time it: from a model and a batch to a call that waits."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from serjax.audio.config import AugmentConfig
from serjax.models.base import Path
from serjax.training.classification import Classification, LabelledInputs
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.optimizer import make_optimizer
from serjax.training.update import TrialConstants, init_state, update


def classifying(
    graphdef: nnx.GraphDef[Any],
    optimizer: optax.GradientTransformation,
    *,
    train: TrainConfig | None = None,
    dtype: str = "float32",
) -> Callable[..., Any]:
    """Return the update of a classifier without augmentation: (state, batch, constants, frozen) -> (state, metrics)."""
    objective = Classification(train or TrainConfig(), AugmentConfig(), dtype)
    return partial(update, objective=objective, graphdef=graphdef, optimizer=optimizer)


class TrainingStep:
    """An update of one trial on one device, again and again on one batch."""

    def __init__(
        self,
        model: nnx.Module,
        batch: LabelledInputs,
        classes: int,
        trainable: Callable[[Path], bool],
        *,
        rate: float = 1e-5,
        optimizer: OptimizerConfig | None = None,
        **settings: Any,
    ) -> None:
        """Copy the weights, whose memory every step takes over; compilation comes with the first call."""
        graphdef, params, self._frozen = nnx.split(model, lambda path, _: trainable(path), ...)
        made = make_optimizer(optimizer or OptimizerConfig(), params, self._frozen)
        self._step = jax.jit(classifying(graphdef, made, **settings), donate_argnums=0)
        self._batch = jax.tree.map(jnp.asarray, batch)
        self._constants = TrialConstants(jax.random.key(0), jnp.array(100), jnp.array(rate), jnp.ones(classes))
        self._state = init_state(jax.tree.map(jnp.copy, params), made)

    def _arguments(self) -> tuple[Any, ...]:
        return self._state, self._batch, self._constants, self._frozen

    def __call__(self) -> None:
        """Make a step and wait for it."""
        self._state, metrics = self._step(*self._arguments())
        jax.block_until_ready((self._state, metrics))

    def temporary_memory(self) -> int:
        """Return the bytes that XLA reserves beside weights, optimizer and batch."""
        return self._step.lower(*self._arguments()).compile().memory_analysis().temp_size_in_bytes
