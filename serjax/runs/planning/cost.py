"""Cost of meshes by which training chooses its own: seconds of a step, where the devices' figures are published."""

import math
from functools import cache

import jax

from serjax.config.experiment import Experiment
from serjax.runs.planning.plan import Planner
from serjax.runs.planning.resolve import Extent
from serjax.runs.planning.topology import local_topology
from serjax.runtime.mesh import Cost


def mesh_cost(experiment: Experiment, classes: int, folds: int) -> Cost | None:
    """Return the cost of meshes of the devices at hand; None where there is no choice, or turns are all that is known.

    It rests on published figures and the counted step, never on a timing, so that all processes and every start choose
    the same. Nothing is traced until it is asked.

    Args:
        experiment: how folds train, with its model resolved.
        classes: number of classes.
        folds: how many train at once.
    """
    topology = local_topology(jax.devices())
    if math.isnan(topology.chip.flops) or experiment.model.encoded_once:
        return None  # heads alone take next to nothing of a device
    extent = Extent(folds, 0, 0, classes, "")
    return cache(Planner(experiment, extent, topology).seconds)
