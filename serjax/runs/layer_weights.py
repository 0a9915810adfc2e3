"""Shares of the layers in the models of a run that learned a sum of them."""

import logging
from pathlib import Path

from serjax.checkpoints.formats.tensors import read_tensors
from serjax.checkpoints.run_models import read_run
from serjax.checkpoints.sequence_classification import LAYERS, from_transformers
from serjax.evaluation.layer_report import weights_report, weights_sentence
from serjax.evaluation.report import Report
from serjax.models.speech import Speech

log = logging.getLogger(__name__)


def read_layer_weights(run_dir: Path) -> Report | None:
    """Return the shares of the layers in all models of a run, and say the largest; None where no sum is learned.

    Raises:
        UserError: a model cannot be read.
    """
    run = read_run(run_dir)
    model = run.model
    if not isinstance(model, Speech) or not model.weighted_layers:
        return None
    members = {}
    for member, folder in zip(run.trained, run.members(run_dir), strict=True):
        # Mapped from the disk: the encoder's are not read.
        members[member] = from_transformers(model, read_tensors(folder))[LAYERS]
    found = weights_report(members)
    log.info(weights_sentence(found))
    return found
