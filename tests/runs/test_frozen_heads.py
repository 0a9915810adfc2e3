"""Heads on a frozen encoder: each clip is encoded once, and clips of another corpus stand behind the others."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import soundfile
from flax import nnx

from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.models.classifiers.speech import build_head
from serjax.models.functional import flat
from serjax.models.speech import Speech
from serjax.runs.finetune import experiment_data
from serjax.runs.frozen_heads import make_heads
from serjax.runs.setup import experiment_trials, make_plan, set_up
from serjax.runtime.errors import UserError
from serjax.training.domain_config import DomainConfig
from serjax.training.fold_axis import fold_axis
from serjax.training.frozen import make_is_frozen


def write(root, labels, seed):
    rng = np.random.default_rng(seed)
    for label in labels:
        (root / label).mkdir(parents=True)
        for speaker in range(3):
            soundfile.write(root / label / f"spk{speaker}.wav", rng.normal(0, 0.1, 3_000), 16_000)
    return root


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    base = tmp_path_factory.mktemp("corpora")
    return write(base / "here", ("high", "low"), 0), write(base / "there", ("any",), 1)


def small(corpora, out, kind="dann"):
    here, there = corpora
    return Experiment(
        name="run",
        data=DataConfig(root=str(here), max_seconds=0.3, speaker_pattern=r"(?P<speaker>spk\d+)"),
        folds=FoldsConfig(count=3),
        model=Speech(size="tiny", freeze="encoder", pooling="mean", head_size=8),
        domain=DomainConfig(kind, None if kind == "none" else str(there)),
        out=str(out),
    )


def heads_of(experiment):
    data, plan = experiment_data(experiment), make_plan(experiment)
    keys = jax.random.split(jax.random.key(0), 3)
    return data, make_heads(
        experiment,
        data,
        plan.model,
        lambda rngs: plan.model.build(2, rngs=rngs),
        lambda rngs: build_head(plan.model, 2, rngs=rngs),
        make_is_frozen(plan.model, ()),
        keys,
        fold_axis(3, 1, together=True, devices=jax.local_devices()[:1]),
        plan.given,
    )


def test_clips_of_the_other_corpus_stand_behind_the_others_without_labels(corpora, tmp_path):
    data, heads = heads_of(small(corpora, tmp_path))
    assert heads.features.label.tolist() == [*data.classes.tolist(), -1, -1, -1]
    assert heads.features.states.shape[0] == len(heads.features.frames) == 9
    assert heads.other.clips == (6, 7, 8)
    plain, alone = heads_of(small(corpora, tmp_path, "none"))
    assert (plain.unlabelled, alone.other) == (None, None)
    assert len(list((tmp_path / "features").glob("[!.]*"))) == 2  # those of each corpus once
    np.testing.assert_array_equal(heads.features.states[:6], alone.features.states)
    names = set(flat(alone.params))
    assert {name for name in flat(heads.params) if name not in names} == {
        f"head.domain_classifier.{layer}.{part}" for layer in ("dense", "out_proj") for part in ("kernel", "bias")
    }
    for name, leaf in flat(alone.params).items():
        np.testing.assert_array_equal(leaf, flat(heads.params)[name])


def test_numbers_of_weights_are_those_of_the_model_that_answers(corpora, tmp_path):
    found = []
    for kind in ("none", "dann"):
        experiment = small(corpora, tmp_path, kind)
        data = experiment_data(experiment)
        setup = set_up(experiment, data, experiment_trials(experiment, data.folds), make_plan(experiment))
        found.append((setup.trainable, setup.parameters))
        assert isinstance(setup.graphdef, nnx.GraphDef)
    assert found[0] == found[1]


def test_the_same_corpus_is_no_other_one(corpora, tmp_path):
    experiment = small((corpora[0], corpora[0]), tmp_path)
    with pytest.raises(UserError, match=r"--domain\.root: all its 6 clips are clips of --data\.root too"):
        heads_of(experiment)
    short = write(tmp_path / "short", ("x",), 2)
    soundfile.write(short / "x" / "spk0.wav", 0.1 * np.sin(np.arange(410)), 16_000)
    experiment = replace(small((corpora[0], short), tmp_path))
    data = experiment_data(experiment)
    plan = make_plan(experiment)
    trials = experiment_trials(experiment, data.folds)
    store = data.unlabelled
    lengths = np.where(np.arange(3) == 0, 1, store.lengths)
    store.lengths = lengths
    with pytest.raises(UserError, match=r"1 clips are shorter than this model's first frame .*\(short/x/spk0\)"):
        set_up(experiment, data, trials, plan)
