"""Experiments are found by name in a checkout, in a wheel and in the user's own folder, and their fields changed."""

import logging
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import serjax
from serjax.config.experiment import Experiment
from serjax.config.pretraining import PretrainExperiment
from serjax.config.registry import find, names
from serjax.models.spectrogram import Functionals
from serjax.runtime.errors import UserError

ROOT = Path(__file__).parents[2]

MINE = """
from dataclasses import replace
import serjax

def experiment():
    return replace(serjax.experiment("bilstm"), name="mine")
"""


def test_a_folder_of_the_user_is_looked_into_first(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "serjax")
    own = tmp_path / "experiments"
    own.mkdir()
    (own / "quickstart.py").write_text(MINE)
    (own / "plots.py").write_text("import nothing_of_the_kind")
    monkeypatch.chdir(tmp_path)
    found = find("quickstart", Experiment)
    assert (found.name, found.model.family) == ("mine", "bilstm")
    assert caplog.messages[0] == f"Experiment: {own / 'quickstart.py'}"
    assert caplog.messages[1] == f"Experiment: {ROOT / 'experiments' / 'bilstm.py'}"
    assert "plots" not in names(Experiment)
    assert {"quickstart", "hubert_kfold"} <= set(names(Experiment))


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("quikstart", Experiment, r"^--exp quikstart: there is no such experiment; did you mean quickstart\?"),
        ("xyz", Experiment, "there is no such experiment; choose one of au_fusion, "),
        ("cpt_hubert", Experiment, "it is for serjax.pretrain; choose one of"),
        (
            "quickstart",
            PretrainExperiment,
            "it is for serjax.train; choose one of cpt_hubert, serjax_tiny, tapt_hubert",
        ),
        ("nowhere.py", Experiment, "there is no such file"),
    ],
)
def test_a_wrong_name_gets_a_sentence(name, kind, message):
    with pytest.raises(UserError, match=message) as raised:
        find(name, kind)
    assert "\n" not in str(raised.value)


def test_fields_are_changed_by_their_dotted_names(tmp_path):
    changed = serjax.experiment("quickstart", **{"data.root": tmp_path, "folds.only": [1, 2], "seed": 3})
    assert changed.data.root == str(tmp_path)
    assert changed.folds.only == (1, 2)
    assert changed.seed == 3
    other = serjax.experiment("quickstart", **{"model.window": 0.5, "model.family": "bilstm"}).model
    assert (type(other), other.window) == (Functionals, 0.5)
    assert isinstance(serjax.experiment("tapt_hubert", seed=1), PretrainExperiment)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.rot": "x"}, r"^data\.rot: there is no such field; did you mean data\.root\?"),
        (
            {"optimizer.lr": 1},
            r"^optimizer\.lr: there is no such field; did you mean optimizer\.max_lr or optimizer\.min_lr\?",
        ),
        ({"train.learning_rates": "1e-3"}, r"train\.learning_rates is '1e-3'; it must be a list, such as \[a, b\]"),
        ({"xyz": 1}, r"^xyz: there is no such field; it has name, data, "),
        ({"train.epochs.x": 1}, r"^train\.epochs\.x: there is no such field; train\.epochs is a value by itself"),
        ({"train.epochs": 0}, r"^train\.epochs is 0; it must be 1 or more"),
        ({"train.epochs": "many"}, r"^train\.epochs is 'many'; it must be"),
        ({"model.family": "lstm"}, r"^model\.family is 'lstm'; it must be one of 'data2vec-audio'"),
        ({"model": 3}, r"^model is 3; it must be"),
    ],
)
def test_a_change_that_cannot_be_gets_a_sentence(changes, message):
    with pytest.raises(UserError, match=message) as raised:
        serjax.experiment("quickstart", **changes)
    assert "\n" not in str(raised.value)


def test_a_wheel_has_the_experiments_and_the_checkpoint(tmp_path):
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = (
        "import serjax; print(serjax.__file__, serjax.experiment('av_late').name, "
        "serjax.experiment('cpt_hubert').name, serjax.load_encoder('serjax-tiny').config.model_type)"
    )
    environment = {"PYTHONPATH": str(tmp_path / "installed"), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    package = str(tmp_path / "installed" / "serjax" / "__init__.py")
    assert done.stdout.split() == [package, "av_late", "cpt_hubert", "hubert"]


HEAVY = """
import sys
from serjax.config.experiment import Experiment
from serjax.config.pretraining import PretrainExperiment
from serjax.config.registry import locate, names, read

for kind in (Experiment, PretrainExperiment):
    for name in names(kind):
        read(locate(name, kind), kind)
print(sorted({"jax", "flax", "sklearn", "optax", "matplotlib"} & set(sys.modules)))
"""


def test_settings_and_experiments_are_read_without_jax():
    done = subprocess.run([sys.executable, "-c", HEAVY], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
