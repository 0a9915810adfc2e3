"""Clips of pretraining, and those of them that each fold may use."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from serjax.config.experiment import Experiment, cache_folder
from serjax.config.pretraining import PretrainExperiment
from serjax.data.dataset import Data, read_data
from serjax.data.folds.make import chosen_folds
from serjax.data.store.clips import ClipStore
from serjax.data.unlabelled import open_unlabelled
from serjax.runtime.errors import UserError

log = logging.getLogger(__name__)


class Part(NamedTuple):
    """Clips of one encoder's pretraining.

    Attributes:
        fold: number of the fold it is for; 0 for all.
        train: positions of the clips to pretrain on.
        test: positions of the clips that the fold tests; none where it is for all.
    """

    fold: int
    train: tuple[int, ...]
    test: tuple[int, ...]


class Clips:
    """Several stores in a row.

    Attributes:
        names: of the clips; no two are equal.
        lengths: in samples.
        hashes: of each clip's samples.
        kept: whether all samples are on the disk.
    """

    names: tuple[str, ...]
    lengths: Int64[np.ndarray, "clips"]
    hashes: tuple[str, ...]
    kept: bool

    def __init__(self, stores: Sequence[ClipStore]) -> None:
        """Put the stores in a row."""
        self._places = [(store, i) for store in stores for i in range(len(store))]
        self.names = tuple(store.utterances[i].id for store, i in self._places)
        self.lengths = np.concatenate([store.lengths for store in stores])
        self.hashes = tuple(value for store in stores for value in store.hashes)
        self.kept = all(store.kept for store in stores)

    def __len__(self) -> int:
        return len(self._places)

    def clip(self, i: int) -> Float32[np.ndarray, "t"]:
        """Return clip i at 16 kHz, read-only."""
        store, place = self._places[i]
        return store.clip(place)


class Material(NamedTuple):
    """Clips, parts of them, and the labelled corpus that the first clips are; None where labels are not looked at."""

    clips: Clips
    parts: tuple[Part, ...]
    data: Data | None


def as_training(experiment: PretrainExperiment) -> Experiment:
    """Return an experiment that reads the same clips, folds and caches."""
    return Experiment(
        name=experiment.name, data=experiment.data, folds=experiment.folds, seed=experiment.seed, out=experiment.out
    )


def read_material(experiment: PretrainExperiment, *, by_fold: bool) -> Material:
    """Find, decode and divide the clips.

    Args:
        experiment: what to read.
        by_fold: every fold gets an encoder of its own, even where all hear everything.

    Raises:
        UserError: clips, labels, speakers or folds that do not fit.
    """
    tapt, settings = experiment.tapt, experiment.data
    cache = cache_folder(as_training(experiment))
    data, stores = None, []
    if tapt.corpus == "unlabelled":
        stores.append(open_unlabelled(Path(settings.root), "--data.root", settings, cache))
    else:
        data = read_data(settings, experiment.folds, seed=experiment.seed, cache=cache)
        assert isinstance(data.store, ClipStore)
        stores.append(data.store)
    for folder in tapt.more:
        stores.append(open_unlabelled(Path(folder), "--tapt.more", settings, cache))
    clips = Clips(stores)
    twice = sorted({name for name in clips.names if clips.names.count(name) > 1}) if tapt.more else []
    if twice:
        raise UserError(f"--tapt.more: {twice[0]} is the name of two clips; give folders of different names.")
    if data is None:
        return Material(clips, (Part(0, tuple(range(len(clips))), ()),), None)
    further, known = range(len(data.store), len(clips)), set(data.store.hashes)
    fresh = tuple(i for i in further if clips.hashes[i] not in known)
    if len(fresh) < len(further):
        log.info(f"{len(further) - len(fresh)} clips of --tapt.more are clips of --data.root too; they are left out.")
    everything = (*range(len(data.store)), *fresh)
    if tapt.corpus == "all":
        log.info("Pretraining uses every clip, tested ones too, without their labels (tapt.corpus all).")
        if not by_fold:
            return Material(clips, (Part(0, everything, ()),), data)
    parts = []
    for fold in chosen_folds(data.folds, experiment.folds.only):
        # Not all that is not tested: copies of what is tested stand in no part.
        own = sorted(set(fold.train) | (set(fold.validation) - set(fold.test)))
        train = everything if tapt.corpus == "all" else (*own, *fresh)
        parts.append(Part(fold.number, train, fold.test))
    return Material(clips, tuple(parts), data)
