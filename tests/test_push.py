"""`python -m serjax.push` passes the model card's fields on, and prints where the run is."""

import pytest

import serjax.runs.push
from serjax.push import main
from serjax.runtime.errors import UserError


def test_options_become_fields_of_the_card(monkeypatch, capsys, tmp_path):
    asked = {}

    def push(run, to, **given):
        asked.update(given, run=run, to=to)
        return "https://hub/me/x"

    monkeypatch.setattr(serjax.runs.push, "push", push)
    options = [
        "--card.license",
        "mit",
        "--card.language",
        "de",
        "en",
        "--card.base-model",
        "a/b",
        "--card.intended-use",
        "use",
    ]
    assert main([str(tmp_path), "--to", "me/x", *options, "--card.data-license", "data", "--card.citation", "@a"]) == 0
    assert capsys.readouterr().out == "https://hub/me/x\n"
    assert (asked["run"], asked["to"], asked["private"]) == (tmp_path, "me/x", False)
    card = {name: value for name, value in asked["card"].items() if value}
    assert card == {
        "license": "mit",
        "language": ["de", "en"],
        "base_model": "a/b",
        "intended_use": "use",
        "data_license": "data",
        "citation": "@a",
    }


def test_folder_that_is_not_there_gets_a_sentence(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        main([str(tmp_path / "missing"), "--to", "me/x"])


def test_a_mistyped_option_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match=r"--card\.licence: there is no such option; did you mean --card\.license\?"):
        main([str(tmp_path), "--to", "me/x", "--card.licence", "mit"])


def test_the_card_alone_is_written(monkeypatch, capsys, tmp_path):
    asked = {}
    monkeypatch.setattr(serjax.runs.push, "write_card", lambda run, card: asked.update(card))
    assert main([str(tmp_path), "--card-only", "--card.license", "mit"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'README.md'}\n"
    assert asked["license"] == "mit"


@pytest.mark.parametrize("options", [[], ["--to", "me/x", "--card-only"]])
def test_a_repository_or_the_card_alone_is_asked_for(options):
    with pytest.raises(UserError, match="--card-only"):
        main(["run", *options])
