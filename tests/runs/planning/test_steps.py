"""Steps without arrays: what training calls, lowered for CUDA, and compiled for meshes and TPUs that are not here."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from serjax.config.experiment import Experiment
from serjax.models.base import EncoderLayout, Resolution
from serjax.models.config import ModelConfig
from serjax.models.fusion.config import Fusion
from serjax.models.speech import Speech
from serjax.models.video import Video
from serjax.runs.planning import steps
from serjax.runtime.mesh import ROWS
from serjax.training.config import MaskedConfig, TrainConfig
from serjax.training.fold_axis import FoldAxis

PROGRAMS = Path(__file__).with_name("programs.py")


def experiment(tiny_encoder, **model) -> Experiment:
    settings = Speech(size="tiny", freeze="cnn", head_size=8, attention_size=8, **model)
    settings = settings.resolved(Resolution(0.4, EncoderLayout(tiny_encoder, normalize=True)))
    found = Experiment("x", model=settings, train=TrainConfig(batch_size=4))
    return replace(found, data=replace(found.data, max_seconds=0.4))


def axis_of(count, together=True):
    return FoldAxis(count, Mesh(np.array(jax.devices()[:1]).reshape(1, 1, 1), ("fold", *ROWS)), together)


def all_steps(tiny_encoder):
    what = experiment(tiny_encoder, dtype="bfloat16")
    frozen = replace(what, model=replace(what.model, freeze="encoder"))
    masked = MaskedConfig(dtype="bfloat16", accumulate=2, feature_grad_mult=0.1)
    return {
        "train": steps.training_step(what, 3),
        "heads": steps.heads_epoch(frozen, 3, clips=10, steps=2),
        "pretraining": steps.pretraining_step(masked, tiny_encoder, 5, rows=4, seconds=0.4),
    }


@pytest.mark.parametrize("name", ["train", "heads", "pretraining"])
def test_a_step_is_lowered_for_cuda(tiny_encoder, name):
    step = all_steps(tiny_encoder)[name]
    exported = step.export(axis_of(2), "cuda")
    assert exported.platforms == ("cuda",)
    given = len(jax.tree.leaves(step.all_arguments(axis_of(2))))
    assert len(exported.in_avals) == given
    assert [one.shape[0] for one in exported.out_avals] == [2] * len(exported.out_avals)


def test_an_ensemble_is_lowered_for_cuda(tiny_encoder):
    exported = steps.export_ensemble(experiment(tiny_encoder), 3, folds=2, rows=4, platform="cuda")
    assert exported.platforms == ("cuda",)
    assert [one.shape for one in exported.out_avals] == [(4, 2, 3)]


@pytest.mark.parametrize("together", [True, False])
def test_the_step_that_is_lowered_is_the_one_that_trains(tiny_encoder, together):
    axis = axis_of(2, together)
    step = all_steps(tiny_encoder)["train"]
    compiled = step.lower(axis).compile()
    state, metrics = compiled.out_info if hasattr(compiled, "out_info") else compiled.out_avals
    found = jax.tree.map(lambda leaf: leaf.shape, state)
    leading = (2,) if together else ()
    assert found == jax.tree.map(lambda leaf: (*leading, *leaf.shape), step.state)
    assert set(metrics) == {"loss", "weight", "norm", "rate"}


@pytest.mark.parametrize("model", [Video(), Fusion()], ids=["video", "fusion"])
def test_shapes_of_video(model: ModelConfig):
    batch = steps.batch_shapes(model, 4, 2.0)
    assert batch.inputs.video.shape == (4, 8, 112, 112, 3)
    assert batch.inputs.wave.shape == (4, 32000 if "sound" in model.modalities else 0)


FAST = {"JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS"}


def programs(*names, env, timeout=1800):
    done = subprocess.run(
        [sys.executable, PROGRAMS, *names],
        # The programs are to be the true ones.
        env={name: os.environ[name] for name in os.environ.keys() - FAST} | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def on_cpu():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    return programs("cpu", env=flags)


@pytest.mark.slow
def test_nothing_travels_where_every_device_has_a_fold(on_cpu):
    assert on_cpu["5x1"]["collectives"] == []


@pytest.mark.slow
@pytest.mark.parametrize("mesh", ["1x8", "2x4"])
def test_nothing_crosses_folds_and_clips_are_not_gathered(on_cpu, mesh):
    """XLA's partitioner for CPUs gathers what a convolution in groups takes; a TPU's does not."""
    found = on_cpu[mesh]["collectives"]
    assert {tuple(axes) for _, _, axes in found} == {("data",)}
    assert {kind for kind, _, _ in found} <= {"all-reduce", "all-gather"}
    assert sum(size for kind, size, _ in found if kind == "all-gather") == on_cpu[mesh]["grouped"]


@pytest.fixture(scope="module")
def on_tpu():
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("needs libtpu (extra 'tpu')")
    return programs("tpu", env={})


TPU = [
    "v5e train 5x1",
    "v5e train 1x8",
    "v5e train 2x4",
    "v5e heads 5x1",
    "v5e pretraining 1x8",
    "v5e ensemble",
    "v5p train 2x2",
    "v5p heads 4x1",
    "v5p pretraining 1x4",
    "v5p ensemble",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", TPU)
def test_programs_for_tpus(on_tpu, name):
    """The compiler accepts every step; nothing crosses folds; batches that are shared add gradients up, and no more."""
    found = on_tpu[name]
    collectives = found["collectives"]
    assert all("fold" not in axes for _, _, axes in collectives)
    assert {kind for kind, _, _ in collectives} <= {"all-reduce"}
    if name.endswith(("x1", "ensemble")):
        assert collectives == []
    else:
        # Gradients, in bfloat16, and a few numbers; that of the positional convolution travels as a spectrum.
        sent = sum(size for _, size, _ in collectives)
        assert 0.8 * found["gradient"] <= sent <= found["gradient"] + found["spectrum"] + 100
    # Counted without the tiles of 8 x 128 that a TPU pads arrays to, which so small a network feels.
    assert found["memory"] < 1.5 * found["bound"]


@pytest.mark.slow
def test_split_parameters_on_a_tpu(on_tpu):
    """Parameters are gathered along the axis that they are split over, and nothing crosses folds."""
    whole, split = on_tpu["v5e train 1x8"], on_tpu["v5e train 1x2x4"]
    assert all("fold" not in axes for _, _, axes in split["collectives"])
    assert any(kind == "all-gather" and axes == ["shard"] for kind, _, axes in split["collectives"])
    # The one array of this size that is split is padded again, to rows of 128.
    assert split["memory"] <= whole["memory"]
