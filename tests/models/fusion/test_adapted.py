"""A fusion whose WavLM has adapters: these and the heads are each fold's own, and come back from a run as they were."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from noise import noisy
from saved_runs import write_run

from serjax.audio.config import AugmentConfig
from serjax.checkpoints.run_models import load_run
from serjax.models.adapter_config import PARTS, AdapterConfig
from serjax.models.base import EncoderLayout, Resolution
from serjax.models.functional import logits_of
from serjax.models.fusion.config import Fusion
from serjax.models.inputs import Inputs
from serjax.models.speech import Speech
from serjax.runtime.constraints import validate
from serjax.runtime.errors import UserError
from serjax.training.classification import Classification, LabelledInputs
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.optimizer import make_optimizer
from serjax.training.update import TrialConstants, init_state, update
from serjax.video.config import VideoConfig

ADAPTED = Fusion(
    audio=Speech(family="wavlm", adapter=AdapterConfig(kind="lora", rank=2, dropout=0.1)),
    video=VideoConfig(face_features="features.npz"),
    common=4,
)
RNG = np.random.default_rng(0)
INPUTS = Inputs(
    RNG.normal(0, 0.1, (2, 640)).astype(np.float32),
    np.array([640, 300]),
    RNG.normal(size=(2, 1, 4)).astype(np.float32),
    np.array([1, 1]),
)


@pytest.fixture(scope="module")
def layout(wavlm_config):
    return EncoderLayout(replace(wavlm_config, num_hidden_layers=1), normalize=True)


def test_adapters_and_heads_of_folds_learn_beside_one_frozen_encoder(layout):
    model = ADAPTED.resolved(Resolution(0.5, layout, 4))
    folds = [noisy(lambda rngs: model.build(3, rngs=rngs), seed) for seed in (1, 2)]
    graphdef, first, frozen = nnx.split(folds[0], lambda path, _: model.trainable(path), ...)
    paths = {path for path, _ in nnx.to_flat_state(first)}
    assert any(path[0] == "fusion" for path in paths)
    encoder = {path for path in paths if "speech_encoder" in path}
    assert encoder
    assert all(PARTS & set(path) for path in encoder)
    objective = Classification(TrainConfig(), AugmentConfig(), "float32")
    optimizer = make_optimizer(OptimizerConfig(schedule="constant", weight_decay=0.0), first)
    run = TrialConstants(jax.random.key(0), jnp.array(10), jnp.array(1e-2), jnp.ones(3))

    def step(params):
        state = init_state(params, optimizer)
        labelled = LabelledInputs(INPUTS, jnp.array([0, 1]), jnp.ones(2))
        state, _ = update(state, labelled, run, frozen, objective=objective, graphdef=graphdef, optimizer=optimizer)
        return state.params

    second = nnx.split(folds[1], lambda path, _: model.trainable(path), ...)[1]
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), first, second)
    after = dict(nnx.to_flat_state(jax.jit(jax.vmap(step))(both)))
    for path, leaf in nnx.to_flat_state(both):
        if path in encoder:
            assert np.isfinite(after[path][...]).all()
            assert (np.abs(after[path][...] - leaf[...]).max(axis=(1, 2)) > 1e-4).all(), path


def test_a_run_comes_back_and_holds_the_encoder_once(tmp_path, layout):
    members, model = write_run(tmp_path, ADAPTED, layout=layout)
    found = load_run(tmp_path)
    own, shared = ({path for path, _ in nnx.to_flat_state(one)} for one in (found.params, found.shared))
    assert {path for path in own if "speech_encoder" in path} == {path for path in own | shared if PARTS & set(path)}
    answer = jax.jit(lambda *state: logits_of(found.graphdef, *state, INPUTS, None, "float32"))
    for row, member in enumerate(members.values()):
        params = jax.tree.map(lambda leaf, row=row: leaf[row], found.params)
        saved = nnx.split(member, lambda path, _: model.trainable(path), ...)[1:]
        np.testing.assert_allclose(answer(params, found.shared), answer(*saved), atol=1e-6)


def test_the_first_stage_has_no_adapters(layout):
    first = ADAPTED.resolved(Resolution(0.5, layout, 4)).heads_only()
    assert not first.branch.adapter.given
    assert first.branch.frozen_encoder


@pytest.mark.parametrize(
    ("changes", "adapter", "message"),
    [
        (
            {},
            {"encode_once": True},
            r"model\.audio\.adapter\.encode_once is given, but a fusion encodes each clip anew",
        ),
        ({"audio_layers": 2}, {}, r"model\.audio_layers is 2, but with model\.audio\.adapter all of WavLM but its"),
    ],
)
def test_settings_that_contradict_adapters_are_refused(changes, adapter, message):
    audio = replace(ADAPTED.audio, adapter=replace(ADAPTED.audio.adapter, **adapter))
    with pytest.raises(UserError, match=message):
        validate(replace(ADAPTED, audio=audio, **changes))
