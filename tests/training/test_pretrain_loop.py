"""The loop of masked prediction: stopped and resumed, several runs side by side, on a mesh, and what it leaves."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from devices import environment
from flax import nnx

from serjax.models.encoders.config import preset
from serjax.models.functional import flat
from serjax.runtime.errors import UserError
from serjax.runtime.mesh import fetch
from serjax.training.config import MaskedConfig, OptimizerConfig
from serjax.training.fold_axis import fold_axis
from serjax.training.initialize import first_states
from serjax.training.masked_prediction import FrameBatch
from serjax.training.pretrain_loop import encoder_of, pretrain, run_shapes, set_up
from serjax.training.resume import ResumePoint

CLUSTERS = 11
TINY = replace(
    preset("hubert", "tiny"),
    hidden_size=32,
    num_hidden_layers=1,
    intermediate_size=48,
    conv_dim=(16,) * 3,
    num_conv_pos_embeddings=6,
    hidden_dropout=0.0,
    attention_dropout=0.0,
    activation_dropout=0.0,
    feat_proj_dropout=0.0,
)
"""Nothing is drawn at random but masks."""
DROPPING = replace(TINY, hidden_dropout=0.1, attention_dropout=0.1, layerdrop=0.1)
SETTINGS = MaskedConfig(projection=8, feature_grad_mult=0.1, unmasked_weight=0.3, updates=20)


def stream(done):
    """Batches as [k b ...] for one run."""
    length = np.array([6000, 5000])
    for number in range(done, 1000):
        rng = np.random.default_rng(number)
        wave = np.where(np.arange(6000) < length[:, None], rng.normal(0.1, 0.3, (2, 6000)), 0).astype(np.float32)
        label = rng.integers(0, CLUSTERS, (2, TINY.frames(6000)))
        yield FrameBatch(wave[None], length[None], label[None])


def runs(config=SETTINGS, encoder=TINY, count=1):
    keys = jax.random.split(jax.random.key(3), count)
    axis = fold_axis(count, 1, together=True)
    return set_up(config, encoder, CLUSTERS, normalize=True, keys=keys, axis=axis)


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path):
    setup, reports = runs(encoder=DROPPING), []
    resume = ResumePoint(tmp_path / "whole")
    whole = pretrain(setup, stream, 7, resume, lambda done, means: reports.append((done, means)), every=3)
    resume.close()
    assert [done for done, _ in reports] == [3, 6, 7]
    assert set(reports[0][1]) >= {"loss", "masked_accuracy", "unmasked_accuracy", "rate"}

    class Killed(Exception):
        pass

    def torn(done):
        for number, batch in enumerate(stream(done)):
            if number == 5:
                raise Killed
            yield batch

    resume = ResumePoint(tmp_path / "torn")
    with pytest.raises(Killed):
        pretrain(runs(encoder=DROPPING), torn, 7, resume, lambda *_: None, every=3)
    resume.close()
    resume = ResumePoint(tmp_path / "torn")
    assert resume.latest() == 3
    again = pretrain(runs(encoder=DROPPING), stream, 7, resume, lambda *_: None, every=3)
    resume.close()
    jax.tree.map(np.testing.assert_array_equal, whole, again)
    resume = ResumePoint(tmp_path / "torn")
    finished = pretrain(runs(encoder=DROPPING), torn, 7, resume, lambda *_: None, every=3)
    resume.close()
    jax.tree.map(np.testing.assert_array_equal, whole, finished)


def test_what_diverges_gets_a_sentence(tmp_path):
    config = replace(SETTINGS, optimizer=OptimizerConfig(schedule="constant", max_lr=1e30, clip_norm=None))
    resume = ResumePoint(tmp_path)
    with pytest.raises(UserError, match=r"no longer a number after 4 updates; lower the learning rate"):
        pretrain(runs(config), stream, 8, resume, lambda *_: None, every=4)
    resume.close()


def test_random_convolutions_are_not_frozen():
    with pytest.raises(UserError, match="freezes the convolutions, but they start from random weights"):
        runs(MaskedConfig())


@pytest.mark.parametrize("shared", [True, False])
def test_shapes_of_a_run_are_known_before_it_is_set_up(shared):
    still = replace(SETTINGS.optimizer, groups=((r".*\.feature_extractor\..*", None),))
    config = replace(SETTINGS, optimizer=still)
    own, common = run_shapes(config, TINY, CLUSTERS, shared=shared)
    setup = runs(config)
    state = first_states(setup.params, setup.optimizer, setup.axis)

    def shapes(tree):
        return [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]

    assert shapes(own["state"]) == shapes(setup.axis.shape(state))
    assert shapes(own["gradient"]) == shapes(setup.axis.shape(setup.params))
    assert own["best"] == ()
    assert jax.tree.leaves(setup.frozen)
    assert shapes(common if shared else own["frozen"]) == shapes(setup.frozen)


@pytest.mark.slow
def test_held_out_parts_train_side_by_side_as_alone(tmp_path):
    def two(done):
        for batch in stream(done):
            yield jax.tree.map(lambda x: np.concatenate([x, x[:, ::-1]]), batch)

    resume = ResumePoint(tmp_path / "two")
    both = pretrain(runs(count=2), two, 3, resume, lambda *_: None)
    resume.close()
    keys = jax.random.split(jax.random.key(3), 2)[1:]
    alone = set_up(SETTINGS, TINY, CLUSTERS, normalize=True, keys=keys, axis=fold_axis(1, 1, together=True))

    def second(done):
        for batch in two(done):
            yield jax.tree.map(lambda x: x[1:], batch)

    resume = ResumePoint(tmp_path / "one")
    one = pretrain(alone, second, 3, resume, lambda *_: None)
    resume.close()
    for name, value in flat(one).items():
        np.testing.assert_allclose(flat(both)[name][1], value[0], rtol=1e-3, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("together", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_runs_with_starts_of_their_own_train_as_each_does_alone(tmp_path, together):
    config = replace(SETTINGS, feature_grad_mult=0.0)
    random = runs(count=2)
    starts = [nnx.state(encoder_of(random, random.params, random.frozen, k), nnx.Param) for k in (0, 1)]
    own = nnx.State({"speech_encoder": jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *starts)})
    keys = jax.random.split(jax.random.key(5), 2)

    def two(done):
        for batch in stream(done):
            yield jax.tree.map(lambda x: np.concatenate([x, x[:, ::-1]]), batch)

    def trained(folder, batches, keys, **start):
        axis = fold_axis(len(keys), 1, together=together)
        setup = set_up(config, TINY, CLUSTERS, normalize=True, keys=keys, axis=axis, **start)
        resume = ResumePoint(tmp_path / folder)
        params = axis.gather(pretrain(setup, batches, 2, resume, lambda *_: None))
        resume.close()
        frozen = (fetch if setup.shared else axis.gather)(setup.frozen)
        return [flat(nnx.state(encoder_of(setup, params, frozen, k), nnx.Param)) for k in range(len(keys))]

    both = trained("both", two, keys, own=own)
    for k, start in enumerate(starts):
        given = {f"speech_encoder.{name}": leaf for name, leaf in flat(start).items()}

        def alone(done, k=k):
            for batch in two(done):
                yield jax.tree.map(lambda x: x[k : k + 1], batch)

        (expected,) = trained(f"alone{k}", alone, keys[k : k + 1], given=given)
        for name, value in expected.items():
            np.testing.assert_allclose(both[k][name], value, rtol=1e-3, atol=2e-5, err_msg=name)
            if name.startswith("feature_extractor"):
                np.testing.assert_array_equal(both[k][name], given[f"speech_encoder.{name}"], err_msg=name)


@pytest.fixture(scope="module")
def on_devices():
    script = Path(__file__).with_name("four_devices.py")
    done = subprocess.run([sys.executable, script], env=environment(4), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["masked prediction", "masked prediction in parts", "mini-batches"])
def test_a_mesh_computes_what_one_device_does(on_devices, case):
    one, four = on_devices[case]
    np.testing.assert_allclose(one, four, rtol=2e-3, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["split masked prediction", "split masked prediction of two runs in parts"])
def test_split_parameters_give_the_numbers_of_whole_ones(on_devices, case):
    one, four = on_devices[case]
    np.testing.assert_allclose(one, four, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_split_parameters_are_all_that_a_step_gathers(on_devices):
    sizes = {True: [], False: []}
    for name, size in on_devices["gathers"]:
        sizes[name.endswith("/sharding_constraint")].append(size)
    assert len(sizes[True]) > 10
    # The first layer's normalization rests on a 10 x 10 matrix of each of the eight clips.
    assert sum(sizes[False]) <= 8 * 10 * 10


def test_a_pretrained_encoder_is_a_checkpoint(tmp_path):
    from serjax.checkpoints.huggingface import load_encoder, save_pretrained
    from serjax.checkpoints.preprocessor import Preprocessor

    setup = runs()
    encoder = encoder_of(setup, setup.axis.gather(setup.params), setup.frozen)
    save_pretrained(encoder, tmp_path, preprocessor=Preprocessor())
    loaded = load_encoder(str(tmp_path)).encoder
    assert loaded.config == TINY
    jax.tree.map(np.testing.assert_array_equal, nnx.state(loaded, nnx.Param), nnx.state(encoder, nnx.Param))
    # What was pretrained is where the next pretraining starts from.
    names = {f"speech_encoder.{name}": leaf for name, leaf in flat(nnx.state(loaded, nnx.Param)).items()}
    axis = fold_axis(1, 1, together=True)
    keys = jax.random.split(jax.random.key(0), 1)
    again = set_up(MaskedConfig(projection=8), TINY, 5, normalize=True, keys=keys, axis=axis, given=names)
    for name, leaf in flat(again.frozen).items():
        np.testing.assert_array_equal(leaf, names[name])
