"""Choice of the parameters that a training leaves as they are."""

from collections.abc import Callable, Sequence
from typing import Any

from serjax.models.base import Model
from serjax.training.optimizer import in_frozen_group


def make_is_frozen(model: Model, groups: Sequence[tuple[str, float | None]]) -> Callable[[Any], bool]:
    """Return a function that says of a path of the model's state whether training leaves it alone.

    Args:
        model: settings, resolved.
        groups: the optimizer's pairs of a regular expression and a factor of the rate; None freezes.
    """
    moments = tuple(one.path for one in model.standardized)

    def is_frozen(path: Any) -> bool:
        path = tuple(path)
        # The moments of a fold's clips are each fold's own, and what is frozen is shared.
        own = any(path[: len(at)] == at for at in moments)
        return not model.trainable(path) or (not own and in_frozen_group(path, groups))

    return is_frozen
