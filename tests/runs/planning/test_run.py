"""From the name of a machine to tables: what is said of where figures come from, and bad input in a sentence."""

import logging
from dataclasses import replace

import pytest
from rich.console import Console

from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig
from serjax.models.spectrogram import Spectrogram
from serjax.models.speech import Speech
from serjax.runs.planning import topology
from serjax.runs.planning.run import plan
from serjax.runtime.errors import UserError
from serjax.training.config import TrainConfig

TINY = Experiment(
    "x",
    data=DataConfig(max_seconds=0.4),
    model=Speech(size="tiny", freeze="cnn", head_size=8),
    train=TrainConfig(epochs=2, batch_size=4),
)
# Traced in no time.
NETWORK = replace(TINY, model=Spectrogram(family="audio_cnn"))


def printed(tables) -> str:
    console = Console(width=200, record=True)
    with console.capture() as captured:
        console.print(tables)
    return captured.get()


def test_gpus_are_counted(caplog):
    with caplog.at_level(logging.INFO, "serjax"):
        text = printed(plan(NETWORK, "h100x8", every_mesh=True, clips=100))
    assert "Nothing is compiled" in caplog.text
    assert "100 clips" in caplog.text
    assert "datasheet" in caplog.text
    assert "best" in text
    assert "5 x 1" in text


@pytest.mark.slow
def test_a_tpu_without_libtpu_is_counted_and_that_is_said(caplog, monkeypatch):
    monkeypatch.setattr(topology.importlib.util, "find_spec", lambda name: None)
    with caplog.at_level(logging.INFO, "serjax"):
        printed(plan(TINY, "v5e-8"))
    assert "pip install 'serjax[tpu]'" in caplog.text


@pytest.mark.slow
def test_the_devices_at_hand(caplog):
    with caplog.at_level(logging.INFO, "serjax"):
        text = printed(plan(replace(TINY, folds=replace(TINY.folds, only=(1, 2))), "local", mesh="1x1"))
    assert "timed on zeros" in caplog.text
    assert "Nothing travels" in text


@pytest.mark.parametrize(
    ("on", "given", "told"),
    [
        ("v7-8", {}, "no such topology"),
        ("h100x8", {"mesh": "9x1"}, "9 devices, but h100x8 has 8"),
        ("h100x8", {"mesh": "1x3"}, "does not divide"),
        ("h100x8", {"mesh": "1:3"}, "such as 5x1"),
        ("h100x8", {"mesh": "1x1", "every_mesh": True}, "leave out one"),
        ("h100x8", {"utilization": 1.5}, "--utilization 1.5"),
        ("h100x8", {"clips": 1}, "two clips or more"),
    ],
)
def test_bad_input(on, given, told):
    with pytest.raises(UserError, match=told):
        plan(NETWORK, on, **given)


def test_split_parameters_are_planned(caplog):
    what = replace(NETWORK, mesh=replace(NETWORK.mesh, shard=2))
    with caplog.at_level(logging.INFO, "serjax"):
        text = printed(plan(what, "h100x8", mesh="1x2"))
    assert "parameters are split over 2 devices" in caplog.text
    assert "fold x data x shard" in text
    assert "1 x 2 x 2" in text
    with pytest.raises(UserError, match=r"--mesh\.shard 3: it does not divide the 8 devices"):
        plan(replace(NETWORK, mesh=replace(NETWORK.mesh, shard=3)), "h100x8")
