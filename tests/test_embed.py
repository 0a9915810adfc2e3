"""The command line of embeddings: files are written, and what is wrong is said in a sentence."""

import json
import logging

import numpy as np
import pytest
import soundfile
from flax import nnx

from serjax.checkpoints.huggingface import save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.embed import PARSER, POOLS, main
from serjax.inference.embedding import Pool
from serjax.inference.encoder import load_encoder
from serjax.models.encoders.build import build_encoder
from serjax.runtime.errors import UserError


@pytest.fixture(autouse=True)
def _log(monkeypatch, caplog):
    # The command's own handler and level would stay for other tests.
    monkeypatch.setattr("serjax.cli.show_log", lambda **_: None)
    caplog.set_level(logging.INFO, "serjax")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, tiny_encoder):
    folder = tmp_path_factory.mktemp("encoder")
    save_pretrained(build_encoder(tiny_encoder, rngs=nnx.Rngs(0)), folder, preprocessor=Preprocessor())
    return str(folder)


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    rng = np.random.default_rng(0)
    soundfile.write(folder / "a.wav", rng.normal(0, 0.1, 9_000), 16_000)
    soundfile.write(folder / "b.wav", rng.normal(0, 0.1, 24_000), 8_000)
    return folder


def test_vectors_of_a_folder_are_written(encoder, clips, tmp_path, caplog):
    out = tmp_path / "x.npz"
    assert main([encoder, str(clips), "--layer", "1", "--out", str(out)]) == 0
    with np.load(out) as found:
        assert found["clip"].tolist() == ["a.wav", "b.wav"]
        with pytest.warns(UserWarning, match="resampled"):
            states = load_encoder(encoder)([clips / "a.wav", clips / "b.wav"])
        by_hand = [
            np.asarray(row[:count]).mean(0) for row, count in zip(states.hidden_states[1], states.lengths, strict=True)
        ]
        np.testing.assert_allclose(found["vectors"], by_hand, rtol=0, atol=1e-5)
    assert caplog.messages == [
        "1 clip was resampled from 8000 Hz to 16000 Hz.",
        f"Written: vectors of 2 clips, 16 values each, to {out}",
    ]


def test_an_unreadable_clip_costs_nothing_but_itself(encoder, clips, tmp_path, caplog):
    (clips / "bad.wav").write_bytes(b"no sound")
    out = tmp_path / "x.npy"
    assert main([encoder, str(clips), "--out", str(out)]) == 2
    assert np.load(out).shape == (2, 16)
    assert json.loads((tmp_path / "x.npy.json").read_text())["clip"] == ["a.wav", "b.wav"]
    assert sum("it is not a sound file or is damaged" in message for message in caplog.messages) == 1


def test_long_clips_are_told_once(encoder, clips, tmp_path, caplog):
    for seed, name in enumerate("cd"):
        soundfile.write(clips / f"{name}.wav", np.random.default_rng(seed).normal(0, 0.1, 31 * 16_000), 16_000)
    assert main([encoder, str(clips), "--pool", "none", "--out", str(tmp_path / "frames")]) == 0
    assert "2 clips were longer than 30 s and cut into parts whose frames follow each other." in caplog.messages


def test_a_cache_of_ones_own(encoder, clips, tmp_path):
    assert main([encoder, str(clips), "--out", str(tmp_path / "x.csv"), "--cache", str(tmp_path / "kept")]) == 0
    assert len(list((tmp_path / "kept").rglob("*.npy"))) == 2
    assert not (tmp_path / "embedding-cache").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layer", "nine", "--out", "x.csv"], "--layer: got nine; give numbers, or head alone"),
        (["--layer", "head", "1", "--out", "x.csv"], "--layer: got head; give numbers, or head alone"),
        (["--layer", "7", "--out", "x.csv"], "--layer 7: .* has layers 0"),
        (["--pool", "none", "--out", "x.csv"], "which .csv cannot hold"),
        (["--out", "x.xlsx"], "its suffix is none of"),
        (["--laier", "1", "--out", "x.csv"], "--laier: there is no such option; did you mean --layer"),
    ],
)
def test_bad_options_are_a_sentence(encoder, clips, options, message):
    with pytest.raises(UserError, match=message):
        main([encoder, str(clips), *options])


def test_other_settings_do_not_replace_a_file(encoder, clips, tmp_path):
    out = str(tmp_path / "x.csv")
    assert main([encoder, str(clips), "--layer", "1", "--out", out]) == 0
    assert main([encoder, str(clips), "--layer", "-2", "--out", out]) == 0
    with pytest.raises(UserError, match="it was made with other settings"):
        main([encoder, str(clips), "--layer", "2", "--out", out])


def test_clips_must_be_there(encoder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="there are no recordings below it"):
        main([encoder, str(tmp_path / "empty"), "--out", str(tmp_path / "x.csv")])
    with pytest.raises(UserError, match="none of 1 clips can be read; see above"):
        main([encoder, str(tmp_path / "none.wav"), "--out", str(tmp_path / "x.csv")])
    assert not (tmp_path / "x.csv").exists()


def test_poolings_are_those_of_the_embeddings():
    assert Pool.__args__ == POOLS
    (pool,) = (action for action in PARSER._actions if action.dest == "pool")
    assert pool.choices == POOLS
