"""`python -m serjax.gather` prints the scores of the run that it has put together."""

import pytest

from serjax.gather import main
from serjax.runtime.errors import UserError
from serjax.train import main as train_main


@pytest.mark.slow
def test_jobs_of_an_array_are_put_together(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = "--exp bilstm --data.corpus synthetic --data.max-clips 24 --folds.kind stratified --folds.count 2"
    for fold in "12":
        given = f"{options} --train.epochs 1 --name two --folds.only {fold} --job"
        assert train_main(given.split()) == 0
    capsys.readouterr()
    assert main(["checkpoints/two"]) == 0
    assert "out-of-fold" in capsys.readouterr().out
    card = (tmp_path / "checkpoints" / "two" / "README.md").read_text()
    assert "--folds.only 2 --job\npython -m serjax.gather checkpoints/two" in card
    assert "python -m serjax.predict checkpoints/two clip.wav" in card


def test_folder_without_jobs_gets_a_sentence(tmp_path):
    with pytest.raises(UserError, match="there are no jobs in it"):
        main([str(tmp_path)])
