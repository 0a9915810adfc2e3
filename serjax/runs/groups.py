"""Groups of trials: those that the devices' memory holds train at once, the others after them."""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import replace

import jax

from serjax.config.experiment import Experiment
from serjax.models.config import ModelConfig
from serjax.models.functional import count
from serjax.runs.planning.cost import mesh_cost
from serjax.runs.planning.steps import SPARE, memory_of, training_step
from serjax.runtime import distributed
from serjax.training.choose_together import choose_together
from serjax.training.fold_axis import fold_axis
from serjax.training.metric_log import Row
from serjax.training.parameter_sharding import memory_limit
from serjax.training.trials import Trial

log = logging.getLogger(__name__)


def group_trials(
    experiment: Experiment, model: ModelConfig, classes: int, trials: Sequence[Trial], *, shared: bool = True
) -> list[list[Trial]]:
    """Return the trials in groups, in their order; all learning rates of a fold and seed are in one.

    Args:
        experiment: how they train; `folds.at_once` is the most that train at once.
        model: its model, resolved.
        classes: number of classes.
        trials: of one run, or of several side by side, which are not parted.
        shared: what is frozen is one for all.
    """
    once, frozen = model.encoded_once, model.frozen_encoder
    together, _ = choose_together(experiment.folds.together, backend=jax.default_backend(), frozen_encoder=frozen)
    units: dict[tuple[int, int], list[Trial]] = {}
    for trial in trials:
        units.setdefault((trial.fold, trial.seed), []).append(trial)
    most = len(units)
    if not together or any(trial.run for trial in trials):
        return [list(trials)]
    if experiment.folds.at_once is not None:
        most = experiment.folds.at_once
    elif (limit := distributed.from_first("memory", memory_limit)) and not once:
        rates = max(map(len, units.values()))
        most = most_at_once(replace(experiment, model=model), classes, len(units), rates, limit, shared)
    every = list(units.values())
    groups = [list(itertools.chain(*every[start : start + most])) for start in range(0, len(every), most)]
    if len(groups) == 1:
        return [list(trials)]
    log.info(f"{most} of {len(every)} folds (times seeds) train at once, the others after them.")
    return groups


def most_at_once(experiment: Experiment, classes: int, units: int, rates: int, limit: int, shared: bool = True) -> int:
    """Return how many folds (times seeds) fit in a device's memory at once, by the compiler's own figures; at least 1.

    Args:
        experiment: how they train, with its model resolved.
        classes: number of classes.
        units: how many there are.
        rates: learning rates of each.
        limit: bytes of a device.
        shared: what is frozen is one for all folds.
    """
    step = training_step(experiment, classes)
    # The step does not take the best state; and of what is frozen it takes one.
    own = 4 * count(step.state.params) + (0 if shared else 4 * count(step.frozen))
    batch = experiment.train.batch_size // experiment.train.accumulate
    shard = 1 if experiment.mesh.shard == "auto" else experiment.mesh.shard
    most = units
    while most > 1:
        cost = mesh_cost(experiment, classes, most * rates)
        axis = fold_axis(most * rates, batch, together=True, shard=shard, cost=cost)
        kept = own * axis.padded // axis.mesh.shape["fold"]
        split = training_step(experiment, classes, axis.gather_params)
        needed = memory_of(split.lower(axis).compile()) + kept
        if needed <= SPARE * limit:
            break
        log.info(
            f"{most} folds at once take {needed / 2**30:.1f} GiB of a device's {limit / 2**30:.1f}: fewer are tried."
        )
        # What folds share makes the true number larger, which the next round tells.
        most = max(1, min(most - 1, int(most * SPARE * limit / needed)))
    # Processes may compile differently, and must agree.
    return min(int(told) for told in distributed.exchange("folds at once", str(most)))


def name_of(group: Sequence[Trial], trials: Sequence[Trial]) -> str:
    """Return a name for a group by the places of its trials among all, empty where it is all of them."""
    if len(group) == len(trials):
        return ""
    own = {id(trial) for trial in group}
    return "trials_" + "_".join(str(number) for number, trial in enumerate(trials, 1) if id(trial) in own)


def is_of(row: Row, group: Sequence[Trial]) -> bool:
    """Return whether a row of a metric log is of one of the group's trials."""
    return any(
        row["fold"] == trial.fold
        and row.get("seed", trial.seed) == trial.seed
        and row.get("learning_rate", trial.peak) == trial.peak
        for trial in group
    )
