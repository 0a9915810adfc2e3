"""The model card's settings stand on the command line and decide no number."""

from serjax.cli import parse
from serjax.config.experiment import Experiment
from serjax.evaluation.config import CardConfig


def test_fields_are_given_by_name():
    options = "--exp quickstart --card.license mit --card.language de en --card.base-model a/b"
    found = parse("serjax.train", options.split(), Experiment, "quickstart").card
    assert found == CardConfig(license="mit", language=("de", "en"), base_model="a/b")
