"""Choices of a user about an ensemble's answers, checked: weights of folds, classes to tell apart, coverage of sets."""

import difflib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from serjax.checkpoints.bundle import Models, Outputs
from serjax.evaluation.conformal import highest_coverage
from serjax.runtime.errors import UserError


def member_shares(folds: Sequence[int], weights: Sequence[float] | None) -> Float[np.ndarray, "k"]:
    """Return the share of each member, in float32; they add up to 1, and a fold's is split among its seeds.

    Args:
        folds: number of the fold of each member.
        weights: how much each fold counts, in the order in which they first come; equally by default.

    Raises:
        UserError: not one weight a fold, a negative one, or all zero.
    """
    numbers = list(dict.fromkeys(folds))
    given = np.ones(len(numbers)) if weights is None else np.asarray(weights, float)
    fits = given.shape == (len(numbers),) and np.isfinite(given).all()
    if not fits or (given < 0).any() or not given.sum() > 0:
        raise UserError(
            f"weights: got {given.tolist()}; expected {len(numbers)} numbers, one for each of the folds "
            f"{', '.join(map(str, numbers))}, finite, none negative and not all zero."
        )
    each = given[[numbers.index(fold) for fold in folds]]
    return (each / each.sum()).astype(np.float32)


def chosen_classes(labels: Sequence[str], outputs: Outputs, only: Sequence[str] | None) -> tuple[int, ...] | None:
    """Return the places of the classes that are told apart, in the model's order; None for all.

    Args:
        labels: of the model.
        outputs: of the model.
        only: names of classes.

    Raises:
        UserError: a class that the model does not have, fewer than two, or a model whose scores stand each for itself.
    """
    if only is None:
        return None
    if isinstance(only, str):
        raise UserError(f"only: got {only!r}; give a list of classes, such as {list(labels[:2])}.")
    for name in only:
        if name not in labels:
            near = difflib.get_close_matches(name, labels, 1)
            found = f"did you mean {near[0]}? It" if near else "it"
            raise UserError(f"only: the model has no class {name!r}; {found} has {', '.join(labels)}.")
    if outputs != "softmax":
        raise UserError("only: this model's scores do not add up to 1, and each stands for itself; leave `only` out.")
    places = tuple(place for place, label in enumerate(labels) if label in only)
    if len(places) < 2:
        given = ", ".join(dict.fromkeys(only)) or "none"
        raise UserError(f"only: got {given}; give two classes or more of {', '.join(labels)}.")
    return places


def check_coverage(
    models: Models, weights: Float[np.ndarray, "k"], only: tuple[int, ...] | None, coverage: float
) -> None:
    """See that sets of labels of a coverage can be made.

    Args:
        models: members, with their calibration.
        weights: share of each member; they add up to 1.
        only: classes that are told apart; None for all.
        coverage: share of clips whose set is to hold the true class.

    Raises:
        UserError: they cannot, and why.
    """
    if not 0 < coverage < 1:
        raise UserError(f"coverage: got {coverage:g}; give a share between 0 and 1, such as 0.9.")
    if models.calibration is None:
        raise UserError(
            "coverage: sets of labels rest on a run's calibration, and here is none: published classifiers have none, "
            "nor have runs of an older serjax or with folds.validation=test, and `raw` leaves it out; leave coverage "
            "out."
        )
    if only is not None:
        raise UserError("coverage: sets of labels are calibrated for all classes; leave out coverage, or `only`.")
    counts = [len(one.nonconformity) for one in models.calibration.members]
    highest = highest_coverage(counts, weights)
    if coverage > highest + 1e-9:
        found = f"{min(counts)}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
        raise UserError(
            f"coverage: got {coverage:g}, but the validation clips are too few for it ({found} a fold), and all "
            f"classes would be in each set; give {np.floor(1000 * highest) / 1000:g} or less."
        )
