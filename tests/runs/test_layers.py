"""Probes on every layer: a probe is a run on that layer alone, and all of them go on where they were stopped."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx
from little_study import SPEAKER, write_corpus
from noise import noisy
from saved_runs import ENCODER

from serjax.checkpoints.huggingface import load_encoder, save_pretrained
from serjax.checkpoints.preprocessor import default_preprocessor
from serjax.data.config import DataConfig
from serjax.evaluation.out_of_fold import read_oof_csv
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.whisper_config import WhisperConfig
from serjax.models.layers.standardize import unit_variance
from serjax.runs.finetune import experiment_data, train
from serjax.runs.layers import layer_features, probe_experiment, probe_layers, set_up_probes
from serjax.runs.setup import make_plan
from serjax.runs.study.settings import StudyEncoder
from serjax.runtime.errors import UserError
from serjax.training.fold_axis import FoldAxis

ENCODERS = {
    "wav2vec2": replace(ENCODER, num_hidden_layers=2),
    # Positions for 0.3 s.
    "whisper": WhisperConfig(
        num_mel_bins=16,
        d_model=16,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=24,
        max_source_positions=15,
    ),
}


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """A corpus, and the encoders beside it."""
    folder = tmp_path_factory.mktemp("tones")
    for family, config in ENCODERS.items():
        encoder = noisy(lambda rngs, config=config: build_encoder(config, rngs=rngs))
        save_pretrained(encoder, folder / family, preprocessor=default_preprocessor(config))
    return write_corpus(folder / "tones", ("low", "high"))


def experiment(tones, folder, family="wav2vec2", **changes):
    data = DataConfig(root=str(tones), speaker_pattern=SPEAKER, max_seconds=0.25)
    settings = {"out": str(folder), "folds": 2, "learning_rates": (1e-2, 1e-1), "epochs": 2, "batch_size": 4}
    return probe_experiment(StudyEncoder("mine", str(tones.parent / family)), data, **(settings | changes))


@pytest.mark.parametrize("family", ENCODERS)
def test_features_are_the_mean_frames_of_every_layer_layer_after_layer(tones, tmp_path, family):
    one = experiment(tones, tmp_path, family)
    data, plan = experiment_data(one), make_plan(one)
    found = layer_features(one, data, plan)
    clips = len(data.store)
    assert found.states.shape == (3 * clips, 1, 1, 16)
    assert found.label.tolist() == 3 * data.classes.tolist()
    graphdef, state = nnx.split(load_encoder(str(tones.parent / family)).encoder)
    wave, length = np.asarray(data.store.clip(5))[None], np.array([len(data.store.clip(5))])
    wave = unit_variance(wave, length) if plan.model.encoder.normalize else wave
    states = jax.jit(lambda state, *given: nnx.merge(graphdef, state)(*given).hidden_states)(state, wave, length)
    for layer, state in enumerate(states):
        np.testing.assert_allclose(found.states[layer * clips + 5, 0, 0], state[0].mean(0), atol=1e-4)


def test_a_probe_is_a_trial_on_its_layer_s_clips_and_all_train_on_one_axis(tones, tmp_path):
    one = experiment(tones, tmp_path, seeds=2)
    data, plan = experiment_data(one), make_plan(one)
    setup = set_up_probes(one, data, plan)
    axis, trials = setup.engine.axis, setup.engine.trials
    assert isinstance(axis, FoldAxis)
    assert (axis.count, axis.together) == (24, True)  # 3 layers, 2 folds, 2 seeds, 2 rates
    assert [trial.run for trial in trials] == [layer for layer in range(3) for _ in range(8)]
    for k, trial in enumerate(trials):
        low = trials[k % 8]
        for part in ("train", "validation", "test"):
            assert [clip - trial.run * 16 for clip in trial.clips(part)] == list(low.clips(part))
    # Probes of a fold and seed begin alike, whatever their layer.
    for leaf in jax.tree.leaves(axis.gather(setup.params)):
        np.testing.assert_array_equal(leaf[:8], leaf[8:16])
        assert leaf[:8].std(0).max() > 0 or not leaf.any()


def test_an_encoder_without_so_many_positions_and_bad_rates_are_refused(tones, tmp_path):
    wide = experiment(tones, tmp_path, "whisper")
    wide = replace(wide, data=replace(wide.data, max_seconds=2.0))
    with pytest.raises(UserError, match=r"the encoder has positions for 0\.3 s"):
        probe_layers(wide)
    wrong = experiment(tones, tmp_path, learning_rates=(-1.0,))
    with pytest.raises(UserError, match=r"train\.learning_rates"):
        probe_layers(wrong)


@pytest.mark.slow
def test_a_point_of_the_curve_is_the_run_that_takes_this_layer(tones, tmp_path):
    one = experiment(tones, tmp_path)
    report = probe_layers(one)
    assert [row["layer"] for row in report["layers"]] == [0, 1, 2]
    assert (tmp_path / "layers_mine" / "layers.png").is_file()
    for layer in (0, 1, 2):
        alone = replace(one, name=f"layer_{layer}", model=replace(one.model, layer=layer))
        found = train(alone, "x", example=False)["out_of_fold"]
        for metric, value in report["layers"][layer]["scores"].items():
            assert {end: value[end] for end in ("score", "low", "high")} == pytest.approx(found[metric])
        assert read_oof_csv(alone.run_dir / "oof.csv").labels == tuple(report["labels"])
    with pytest.raises(UserError, match="this run is finished"):
        probe_layers(one)


@pytest.mark.slow
def test_probes_that_were_stopped_go_on_to_the_same_numbers(tones, tmp_path, stop_after_an_epoch):
    whole = probe_layers(experiment(tones, tmp_path, name="whole"))
    stopped = experiment(tones, tmp_path, name="stopped")
    stop_after_an_epoch(probe_layers, stopped)
    assert not (stopped.run_dir / "report.json").exists()
    report = probe_layers(stopped)
    assert report["layers"] == whole["layers"]
    assert not (stopped.run_dir / "resume").exists()
