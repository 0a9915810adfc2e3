"""Settings of recordings and folds: bounds, and a path that is not asked for."""

import pytest

from serjax.data.config import DataConfig, FoldsConfig, SyntheticConfig
from serjax.runtime.constraints import from_json, to_json, validate
from serjax.runtime.errors import UserError


@pytest.mark.parametrize("config", [DataConfig(), FoldsConfig(), FoldsConfig(kind="files", path="folds.json")])
def test_valid_settings_survive_json(config):
    validate(config)
    assert from_json(type(config), to_json(config), "x") == config


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DataConfig(max_seconds=0.0), r"max_seconds is 0\.0; it must be 0.01 or more"),
        (DataConfig(max_clips=0), "max_clips is 0; it must be 1 or more"),
        (DataConfig(corpus="none"), "corpus is 'none'; it must be one of 'auto'"),
        (
            DataConfig(synthetic=SyntheticConfig(speakers=0), corpus="synthetic"),
            "synthetic.speakers is 0; it must be 1",
        ),
        (DataConfig(vad="none at all"), "vad is 'none at all'; it must be one of"),
        (FoldsConfig(count=0), "count is 0; it must be 1 or more"),
        (FoldsConfig(validation_share=1.5), r"validation_share is 1\.5; it must be 1 or less"),
        (FoldsConfig(split=(0.7, -0.1)), "split is .*; it must be 0 or more"),
        (FoldsConfig(text_groups=2), r"folds\.text_groups is given, but folds\.disjoint is not text"),
        (FoldsConfig(kind="speaker", path="folds.json"), r"folds\.path is given, but folds\.kind is not files"),
    ],
)
def test_impossible_settings_are_refused(config, message):
    with pytest.raises(UserError, match=rf"^{message}"):
        validate(config)
