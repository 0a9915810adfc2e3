"""Figures of a compiled step, and its time on the devices at hand."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from serjax.config.experiment import Experiment
from serjax.models.base import EncoderLayout, Resolution
from serjax.models.speech import Speech
from serjax.runs.planning.compiled import compile_step
from serjax.runs.planning.counting import size
from serjax.runs.planning.steps import training_step
from serjax.runtime.mesh import ROWS
from serjax.training.config import TrainConfig
from serjax.training.fold_axis import FoldAxis


@pytest.mark.slow
def test_a_step_of_two_folds(tiny_encoder):
    model = Speech(size="tiny", head_size=8, attention_size=8)
    model = model.resolved(Resolution(0.4, EncoderLayout(tiny_encoder, normalize=True)))
    experiment = Experiment("x", model=model, train=TrainConfig(batch_size=2))
    step = training_step(replace(experiment, data=replace(experiment.data, max_seconds=0.4)), 3)
    mesh = Mesh(np.asarray(jax.devices()[:1]).reshape(1, 1, 1), ("fold", *ROWS))
    found = compile_step(step, FoldAxis(2, mesh, together=True), timed=True)
    assert found.collectives == ()
    assert found.memory > 2 * size(step.state)
    assert min(found.flops, found.traffic, found.seconds) > 0
    assert compile_step(step, FoldAxis(2, mesh, together=True), timed=False).seconds is None
