"""Pretraining: labels of frames, and masked prediction of them."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from flax import nnx

from serjax.checkpoints.centroids import read_centroids
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.config.pretraining import PretrainExperiment
from serjax.evaluation.report import Report
from serjax.runs.folder import begin_run, claim, end_run, find_run, write_folds
from serjax.runs.pretraining.corpus import Material, as_training, read_material
from serjax.runs.pretraining.labels import make_labels
from serjax.runs.pretraining.masked_prediction import predict_masked
from serjax.runs.pretraining.report import write_page
from serjax.runs.processes import check_shared
from serjax.runs.starts import PRETRAINED, Encoders, EncoderStart, find_encoder, find_encoders
from serjax.runtime.constraints import validate
from serjax.runtime.disk import write_text
from serjax.runtime.distributed import from_first, same
from serjax.runtime.errors import UserError
from serjax.runtime.fingerprint import fingerprint

log = logging.getLogger(__name__)

Step = Literal["labels", "masked"]
"""One of a pretraining's two steps."""


def pretrain(experiment: PretrainExperiment, command: str, step: Step | None = None) -> Report:
    """Make labels and predict them masked, or go on where an earlier call stopped; return pretrained.json's contents.

    Args:
        experiment: what to do.
        command: by which it was asked for, for the page that is written.
        step: the one to do; by default both. `masked` wants the labels that `labels` left.

    Raises:
        UserError: clips, encoders, labels or the run folder are not as they must be.
    """
    validate(experiment)
    with claim(experiment):
        return _pretrain(experiment, command, step)


def _pretrain(experiment: PretrainExperiment, command: str, step: Step | None) -> Report:
    begun = from_first("run folder", lambda: find_run(experiment))
    if step == "masked" and not begun:
        raise UserError(f"{experiment.run_dir}: there are no labels of this experiment; make them by the step labels.")
    settings = experiment.labels
    encoders = None
    if settings.of == "layer":
        source = settings.checkpoint or experiment.model.checkpoint
        assert source is not None
        encoders = find_encoders(source)
    start = _start(experiment)
    # Often one run gives both, labels and start.
    known = list({one.source: one for one in (encoders, start.encoders) if one is not None}.values())
    for one in known:
        _check_apart(experiment, one)
    by_fold = not all(one.shared for one in known)
    material = read_material(experiment, by_fold=by_fold)
    for one in known:
        for part in material.parts:
            one.check(part.fold, [material.clips.names[i] for i in part.test])
    for note in start.notes:
        log.info(note)
    made_from = _made_from(experiment, material, start, known)
    same({"data, or other pretrained weights (their fingerprint)": made_from})

    def begin() -> None:
        begin_run(experiment, begun, made_from)
        if material.data is not None:
            write_folds(as_training(experiment), material.data)

    from_first("run folder", begin)
    check_shared(experiment.run_dir)
    labels = make_labels(experiment, material, encoders)
    if step == "labels":
        log.info(f"Labels are in {experiment.run_dir}.")
        return {}
    predict_masked(experiment, material, labels, start)
    warning = next((one.warning for one in known if one.warning is not None), None)
    folds = [part.fold for part in material.parts if part.fold]
    made: Report = {"corpus": experiment.tapt.corpus if warning is None else "all", "folds": folds}

    def write() -> None:
        write_page(experiment, material, labels, command, warning)
        write_text(experiment.run_dir / PRETRAINED, json.dumps(made) + "\n")
        end_run(experiment)

    from_first("page", write)
    log.info(f"Written to {experiment.run_dir}: README.md and, of each fold or for all, encoder, labels and centroids.")
    return made


def _check_apart(experiment: PretrainExperiment, encoders: Encoders) -> None:
    """See that encoders outlive the beginning of this run, and that their folds are those of its clips.

    Raises:
        UserError: they are in the run folder, or each fold has one and the recordings have no folds.
    """
    if any(Path(folder).absolute().is_relative_to(experiment.run_dir) for folder in encoders.folders.values()):
        raise UserError(f"{encoders.source}: it is this very run; give the new one another --name.")
    if experiment.tapt.corpus == "unlabelled" and not encoders.shared:
        raise UserError(
            f"{encoders.source}: each fold has an encoder of its own there, but unlabelled recordings have no folds; "
            f"give one encoder, such as {encoders.folders[min(encoders.folders)]}."
        )


def _start(experiment: PretrainExperiment) -> EncoderStart:
    """Return what masked prediction starts from.

    Raises:
        UserError: it is no HuBERT.
    """
    model = experiment.model
    start = find_encoder("hubert", model.size, model.checkpoint)
    if model.size is not None:
        start = start._replace(preprocessor=Preprocessor(normalize=model.normalize))
    if start.config.model_type != "hubert":
        raise UserError(f"--model.checkpoint {model.checkpoint}: it is a {start.config.model_type}; give a HuBERT.")
    return start


def _made_from(
    experiment: PretrainExperiment, material: Material, start: EncoderStart, known: Sequence[Encoders]
) -> str:
    """Return a fingerprint of all that the run rests on and that the experiment does not say."""
    parts = [tuple(part) for part in material.parts]
    weights = [fingerprint(nnx.state(one.of(fold).encoder)) for one in known for fold in one.folders]
    path = experiment.labels.centroids
    centroids = () if path is None else read_centroids(Path(path))
    return fingerprint(material.clips.hashes, parts, weights, start.config, centroids)
