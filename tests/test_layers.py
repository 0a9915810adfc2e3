"""The command line of probes: its options become an experiment, and what is wrong gets a sentence."""

import pytest
from little_layers import make_layers

from serjax.data.config import DataConfig
from serjax.layers import main
from serjax.runs.layers import probe_experiment
from serjax.runs.study.settings import StudyEncoder
from serjax.runtime.errors import UserError


def test_options_become_an_experiment_and_the_table_is_printed(monkeypatch, tmp_path, capsys):
    given = {}

    def probe_layers(experiment, command):
        given.update(experiment=experiment, command=command)
        return make_layers((0.5, 0.9), (0.4, 0.8))[0]

    monkeypatch.setattr("serjax.runs.layers.probe_layers", probe_layers)
    options = ["--data.root", "tones", "--data.labels", "low", "high", "--data.max-seconds", "2", "--folds", "3"]
    options += ["--seeds", "2", "--learning-rates", "0.1", "0.2", "--padding", "transformers", "--out", str(tmp_path)]
    assert main(["random:whisper:tiny", *options, "--overwrite"]) == 0
    assert given["experiment"] == probe_experiment(
        StudyEncoder("random-whisper-tiny", None, "whisper", "tiny"),
        DataConfig(root="tones", labels=("low", "high"), max_seconds=2.0),
        folds=3,
        seeds=2,
        learning_rates=(0.1, 0.2),
        padding="transformers",
        out=str(tmp_path),
        overwrite=True,
    )
    assert given["experiment"].name == "layers_random-whisper-tiny"
    assert given["command"].startswith("python -m serjax.layers random:whisper:tiny --data.root tones")
    assert "1 *" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: ID"),
        (["serjax-tny", "--data.root", "."], r"^serjax-tny: there is no such directory .*did you mean serjax-tiny"),
        (["random:whisper:huge", "--data.root", "."], "^random:whisper:huge: .* for whisper with a size of tiny"),
        (["serjax-tiny", "--data.rot", "."], "did you mean --data.root"),
    ],
)
def test_what_is_missing_or_wrong_gets_a_sentence(arguments, message):
    with pytest.raises(UserError, match=message):
        main(arguments)
