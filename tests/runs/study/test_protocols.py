"""Protocols as experiments: what EmoBox's recipe says, and the probe of the others."""

from dataclasses import replace

import pytest

from serjax.data.config import FoldsConfig
from serjax.runs.study.protocols import PROBE_RATES, cell_experiment
from serjax.runtime.constraints import validate


def experiment(study, **changes):
    study = replace(study, **changes)
    return cell_experiment(study, study.encoders[0], study.corpora[0])


def test_emobox_is_its_recipe(study):
    corpus = replace(study.corpora[0], folds="folds")
    found = experiment(study, protocol="emobox", corpora=(corpus,), learning_rates=(), epochs=20, batch_size=32)
    model, train, optimizer = found.model, found.train, found.optimizer
    assert (model.head, model.head_size, model.pooling, model.dropout) == ("frame_relu", 256, "mean", 0)
    assert model.state_norm
    assert not model.weighted_layers
    assert not model.takes_mean_state
    assert (train.learning_rates, train.epochs, train.batch_size, train.patience) == ((1e-4,), 20, 32, 20)
    assert (optimizer.kind, optimizer.weight_decay, optimizer.schedule, optimizer.warmup) == ("adamw", 0, "linear", 0.5)
    assert found.folds == FoldsConfig(kind="files", path="folds", allow_speaker_overlap=True)
    assert found.folds.validation_share == 0.2


@pytest.mark.parametrize("protocol", ["speaker", "cross"])
def test_others_probe_the_mean_of_all_layers(study, protocol):
    found = experiment(study, protocol=protocol, learning_rates=(), folds=3, seeds=4)
    assert (found.model.head, found.model.weighted_layers, found.model.takes_mean_state) == ("projector", True, True)
    assert (found.train.learning_rates, found.train.seeds) == (PROBE_RATES, 4)
    assert found.folds == FoldsConfig(kind="speaker", count=3)


def test_every_cell_is_a_valid_run_of_its_own_below_the_study(study):
    found = experiment(study)
    validate(found)
    assert found.run_dir == study.folder / "cells" / "tiny" / "one"
    assert found.data.cache == str(study.folder / "cache")
    assert found.model.frozen_encoder
    assert (found.model.family, found.model.size) == ("hubert", "tiny")
