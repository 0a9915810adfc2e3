"""The first step: labels of frames, as clusters of an encoder's layer or of MFCC."""

import logging
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from serjax.checkpoints.centroids import read_centroids, write_centroids
from serjax.config.experiment import cache_folder
from serjax.config.pretraining import LabelsConfig, PretrainExperiment
from serjax.data.store.frame_labels import FrameGrid, FrameLabels, split_labels, write_labels
from serjax.data.store.ragged import FORMAT
from serjax.features.encoder_layers import frame_features, layer_features, mfcc_features
from serjax.features.extract import Function
from serjax.features.kmeans import assign, fit_minibatch
from serjax.models.functional import Params
from serjax.runs.pretraining.corpus import Clips, Material, Part, as_training
from serjax.runs.starts import Encoders
from serjax.runtime import distributed
from serjax.runtime.fingerprint import fingerprint

log = logging.getLogger(__name__)

LABELS = "labels"
"""Folder of labels, in the run folder or in those of its folds."""
CENTROIDS = "centres.safetensors"
"""File of the centroids, beside it."""


class _Source(NamedTuple):
    """Function of the features, its weights, places of their frames, and a key of all that they depend on."""

    function: Function
    weights: Params
    grid: FrameGrid
    key: str


def part_folder(run_dir: Path, part: Part) -> Path:
    """Return the folder of what is made for a part: the run's own where one part serves all."""
    return run_dir / f"fold_{part.fold}" if part.fold else run_dir


def make_labels(experiment: PretrainExperiment, material: Material, encoders: Encoders | None) -> list[FrameLabels]:
    """Make each part's labels of all clips, or find those of an earlier call.

    Centroids are fitted on what a part hears; of what it does not, labels are made too, to look at.

    Args:
        experiment: how they are made.
        material: of what.
        encoders: whose layer; None for MFCC.

    Raises:
        UserError: the encoders lack a layer or a fold, there are fewer frames than clusters, features are not finite,
            centroids are of another width, or the disk is full.
    """
    return [_of_part(experiment, material.clips, part, encoders) for part in material.parts]


def _of_part(experiment: PretrainExperiment, clips: Clips, part: Part, encoders: Encoders | None) -> FrameLabels:
    settings, folder = experiment.labels, part_folder(experiment.run_dir, part)
    if distributed.from_first("labels", (folder / LABELS).is_dir):
        return FrameLabels(folder / LABELS)
    source = _source(settings, clips, part, encoders)
    cache = cache_folder(as_training(experiment)) / "features"
    table = frame_features(source.function, source.weights, clips, clips.names, cache / source.key, grid=source.grid)
    cluster = replace(settings.cluster, seed=settings.cluster.seed + experiment.seed)

    def write() -> None:
        began = time.monotonic()
        if settings.centroids is None:
            found = fit_minibatch(table.select(part.train), cluster)
            centroids = found.centroids
            log.info(
                f"{_whose(part)}{len(centroids)} clusters of {table.lengths[list(part.train)].sum():,} frames in "
                f"{time.monotonic() - began:.1f} s; mean squared distance {found.inertia:.4g}."
            )
        else:
            centroids = read_centroids(Path(settings.centroids))
        labels = split_labels(assign(table.rows, centroids), clips.names, table.lengths)
        write_centroids(folder / CENTROIDS, centroids)
        noted = {
            "of": settings.of,
            "layer": settings.layer if settings.of == "layer" else None,
            "encoder": None if encoders is None else encoders.source,
            "centroids": settings.centroids,
            "seed": cluster.seed,
            "clips_heard": len(part.train),
        }
        write_labels(folder / LABELS, labels, len(centroids), source.grid, noted)

    # Mini-batches are small: the first process clusters on its own devices, the others wait.
    distributed.from_first("labels", write)
    if encoders is not None and not encoders.shared:
        # One table a fold would fill the disk, and no other run wants it.
        shutil.rmtree(cache / source.key, ignore_errors=True)
    return FrameLabels(folder / LABELS)


def _source(settings: LabelsConfig, clips: Clips, part: Part, encoders: Encoders | None) -> _Source:
    if encoders is None:
        function, weights = mfcc_features()
        return _Source(function, weights, FrameGrid(), fingerprint(FORMAT, "mfcc", clips.hashes))
    encoder, preprocessor, _ = encoders.of(part.fold)
    function, weights = layer_features(encoder, settings.layer, normalize=preprocessor.normalize)
    grid = FrameGrid(encoder.config.frame_hop, encoder.config.receptive_field)
    key = fingerprint(FORMAT, weights, clips.hashes, settings.layer, preprocessor.normalize, encoder.config)
    return _Source(function, weights, grid, key)


def _whose(part: Part) -> str:
    return f"fold {part.fold}: " if part.fold else ""
