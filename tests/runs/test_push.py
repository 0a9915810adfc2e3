"""Runs on the hub: uploaded to a stand-in for it, fetched again, and what is refused in a sentence."""

import fnmatch
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hub_server import TOKEN, serve
from huggingface_hub import ModelCard, constants
from little_run import make_run
from saved_runs import SPEECH, write_run

import serjax
from serjax.evaluation.model_card import model_card
from serjax.models.speech import Speech
from serjax.runs.push import FILES, check_target, push
from serjax.runtime.errors import UserError


@pytest.fixture(scope="module")
def hub():
    with serve() as hub:
        yield hub


@pytest.fixture
def run(tmp_path):
    """A finished run's folder, with what no hub is to have."""
    folder = tmp_path / "run"
    write_run(folder, SPEECH, calibration=[(3.0, (0.5,) * 20)] * 2)
    report = make_run().report
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "README.md").write_text(model_card(report))
    (folder / "tensorboard" / "fold_1").mkdir(parents=True)
    (folder / "tensorboard" / "fold_1" / "events").write_text("")
    return folder


def client(hub, tmp_path, code, *arguments):
    """Run Python code in a process whose hub is the stand-in: its address is read when huggingface_hub is imported."""
    settings = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "hf")}
    settings |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], env=os.environ | settings, capture_output=True, text=True
    )


PUSH = "import sys; from serjax import cli; from serjax.push import main; cli.run(main)"
PREDICT = "import sys; from serjax import cli; from serjax.predict import main; cli.run(main)"


def test_uploaded_run_answers_by_its_name(hub, tmp_path, run):
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, np.random.default_rng(0).normal(0, 0.1, 8000), 16000)
    pushed = client(
        hub, tmp_path, PUSH, run, "--to", "me/voices", "--private", "--card.license", "cc-by-nc-4.0",
        "--card.language", "de", "en", "--card.data-license", "Ours, on request.",
    )  # fmt: skip
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout == f"{hub.endpoint}/me/voices\n"
    assert hub.private["me/voices"]
    files = hub.files["me/voices"]
    assert "calibration.json" in files
    expected = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert set(files) == {name for name in expected if not name.startswith("tensorboard")}
    for name, content in files.items():
        assert content == (run / name).read_bytes()
        assert any(fnmatch.fnmatch(name, pattern) for pattern in FILES)
    card = ModelCard(files["README.md"].decode()).data
    assert (card.license, card.language) == ("cc-by-nc-4.0", ["de", "en"])
    assert "Ours, on request." in files["README.md"].decode()

    asked = client(hub, tmp_path, PREDICT, "me/voices", clip, "--json")
    assert asked.returncode == 0, (asked.stderr, hub.asked[-6:])
    assert serjax.load(run)(str(clip)) == json.loads(asked.stdout)["scores"]


def test_unusable_runs_are_refused_before_the_hub_is_asked(tmp_path, run, hub):
    before = list(hub.asked)
    with pytest.raises(UserError, match="there is no such folder"):
        push(tmp_path / "missing", "me/x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="it holds no run"):
        push(tmp_path / "empty", "me/x")
    (run / "report.json").unlink()
    with pytest.raises(UserError, match="the run is not finished"):
        push(run, "me/x")
    assert hub.asked == before


@pytest.mark.parametrize("name", ["voices", "me/", "a/b/c", "me/vöices", ""])
def test_name_without_an_owner_is_refused(name):
    with pytest.raises(UserError, match="is no repository of the hub; give USER/NAME"):
        check_target(name)


def test_missing_and_wrong_tokens_are_told(hub, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="there is no token of the Hugging Face hub; run `hf auth login`"):
        check_target("me/x")
    monkeypatch.setenv("HF_TOKEN", "hf_bad")
    with pytest.raises(UserError, match="me/x: the hub does not accept the token; run `hf auth login` again"):
        check_target("me/x")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    check_target("me/x")


def test_repository_of_others_is_refused(hub, monkeypatch, run):
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(UserError, match="other/x: the token may not write there"):
        push(run, "other/x")


def test_hub_out_of_reach_is_told(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(UserError, match=r"^me/x: .*try again"):
        check_target("me/x")


LOAD = """
import sys, transformers
model, told = transformers.AutoModelForAudioClassification.from_pretrained(
    sys.argv[1], subfolder="fold_2", output_loading_info=True)
print(type(model).__name__, sorted(told["missing_keys"]), list(model.config.id2label.values()))
"""


@pytest.mark.torch
def test_uploaded_fold_is_in_transformers_what_it_says_it_is(hub, tmp_path, run):
    assert client(hub, tmp_path, PUSH, run, "--to", "me/fold").returncode == 0
    loaded = client(hub, tmp_path, LOAD, "me/fold")
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.startswith("Wav2Vec2ForSequenceClassification [")
    assert "classifier" not in loaded.stdout
    assert "projector" not in loaded.stdout
    assert loaded.stdout.rstrip().endswith("['angry', 'happy', 'sad']")
    write_run(run, Speech(freeze="nothing"))
    assert client(hub, tmp_path, PUSH, run, "--to", "me/other").returncode == 0
    refused = client(hub, tmp_path, LOAD, "me/other")
    assert refused.returncode
    assert "serjax_wav2vec2" in refused.stderr
