"""The mesh that training takes: by published figures where devices have them, by counting turns elsewhere."""

import math
from dataclasses import replace

import jax
import pytest

from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig
from serjax.models.base import EncoderLayout, Resolution
from serjax.models.encoders.config import preset
from serjax.models.fusion.config import Fusion
from serjax.models.spectrogram import Functionals, Spectrogram
from serjax.models.speech import Speech
from serjax.models.video import Video
from serjax.runs.planning import cost as costs
from serjax.runs.planning.topology import find_topology
from serjax.runtime.mesh import make_mesh, mesh_shape
from serjax.training.config import TrainConfig


@pytest.fixture
def experiment():
    model = Speech(size="tiny", head_size=8, attention_size=8)
    model = model.resolved(Resolution(0.4, EncoderLayout(preset("hubert", "tiny"), normalize=True)))
    found = Experiment("x", model=model, train=TrainConfig(batch_size=16))
    return replace(found, data=replace(found.data, max_seconds=0.4))


def test_on_a_cpu_turns_are_counted(experiment):
    assert costs.mesh_cost(experiment, 4, 5) is None


def test_by_the_figures_of_a_slice(experiment, monkeypatch):
    monkeypatch.setattr(costs, "local_topology", lambda devices: find_topology("v5e-8"))
    cost = costs.mesh_cost(experiment, 4, 5)
    assert mesh_shape(5, 16, 8) == (1, 8)
    chosen = mesh_shape(5, 16, 8, cost=cost)
    assert chosen != (1, 8)
    assert cost(*chosen, 1) == min(cost(fold, data, 1) for fold, data in ((1, 8), (2, 4), (3, 2), (5, 1)))
    mesh = make_mesh(5, 16, [jax.devices()[0]] * 8, cost=cost)
    assert tuple(mesh.shape.values()) == (*chosen, 1)


FAMILIES = {
    "spectrogram": Spectrogram(family="audio_cnn"),
    "functionals": Functionals(),
    "video": Video(),
    "fusion": Fusion(),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_models_of_every_family_have_a_cost(name, monkeypatch):
    monkeypatch.setattr(costs, "local_topology", lambda devices: find_topology("h100x8"))
    model = FAMILIES[name].resolved(Resolution(1.0, None))
    what = Experiment("x", data=DataConfig(max_seconds=1.0), model=model, train=TrainConfig(batch_size=8))
    cost = costs.mesh_cost(what, 4, 5)
    assert 0 < cost(5, 1, 1) < cost(1, 1, 1) < math.inf


def test_heads_on_features_count_turns(experiment, monkeypatch):
    monkeypatch.setattr(costs, "local_topology", lambda devices: find_topology("v5e-8"))
    frozen = replace(experiment, model=replace(experiment.model, freeze="encoder"))
    assert costs.mesh_cost(frozen, 4, 5) is None
