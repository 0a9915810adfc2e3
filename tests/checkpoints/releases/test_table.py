"""Releases are told by their files."""

from importlib import import_module

import pytest
from releases import RECIPE

from serjax.checkpoints.hub import is_checkpoint
from serjax.checkpoints.releases.table import RELEASES, find_release
from serjax.runtime.errors import UserError


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"config.json": '{"model_type": "ser"}'}, "odyssey"),
        ({"config.json": '{"pretrain_model": "wavlm", "finetune_method": "lora"}'}, "vox_profile"),
        ({"hyperparams.yaml": RECIPE}, "speechbrain"),
        ({"hyperparams.yaml": RECIPE, "config.json": '{"speechbrain_interface": "x"}'}, "speechbrain"),
        ({"hyperparams.yaml": RECIPE, "config.json": '{"model_type": "wav2vec2"}'}, None),
        ({"config.json": '{"model_type": "hubert"}'}, None),
        ({}, None),
    ],
)
def test_the_release_of_a_folder(tmp_path, files, name):
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    found = find_release(tmp_path)
    assert (found and found.name) == name
    assert is_checkpoint(tmp_path) == bool(files)


def test_every_release_reads_and_answers():
    for release in RELEASES:
        module = import_module(f"serjax.checkpoints.releases.{release.name}")
        assert callable(module.read)
        assert callable(module.answer)


def test_a_damaged_config_is_said(tmp_path):
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(UserError, match=r"config\.json"):
        find_release(tmp_path)
