"""What is frozen: by the model's settings, by a group, and never the moments of a fold's own clips."""

import pytest

from serjax.models.speech import Speech
from serjax.training.frozen import make_is_frozen

CNN = ("speech_encoder", "feature_extractor", "conv_layers", 0, "conv", "kernel")
LAYER = ("speech_encoder", "encoder", "layers", 0, "attention", "q_proj", "kernel")
HEAD = ("head", "classifier", "out", "kernel")


@pytest.mark.parametrize(
    ("model", "groups", "frozen"),
    [
        (Speech(size="tiny", freeze="cnn"), (), {CNN}),
        (Speech(size="tiny", freeze="encoder"), (), {CNN, LAYER}),
        (Speech(size="tiny"), ((r"speech_encoder\.encoder\..*", None),), {LAYER}),
    ],
    ids=["cnn", "encoder", "group"],
)
def test_paths_that_stay(model, groups, frozen):
    assert {path for path in (CNN, LAYER, HEAD) if make_is_frozen(model, groups)(path)} == frozen


def test_moments_are_of_a_fold_whatever_the_groups_say():
    class Standardized(Speech):
        @property
        def standardized(self):
            return (type("Moments", (), {"path": ("head", "moments")}),)

    frozen = make_is_frozen(Standardized(size="tiny"), ((r"head\..*", None),))
    assert not frozen(("head", "moments", "mean"))
    assert frozen(HEAD)
