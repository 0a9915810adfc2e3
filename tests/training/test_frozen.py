"""What is frozen: by the model's settings, by a group, and never the moments of a fold's own clips."""

import pytest

from serjax.models.base import EncoderLayout, Resolution
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
def test_paths_that_stay(tiny_encoder, model, groups, frozen):
    model = model.resolved(Resolution(1.0, EncoderLayout(tiny_encoder, normalize=True)))
    assert {path for path in (CNN, LAYER, HEAD) if make_is_frozen(model, groups)(path)} == frozen


def test_moments_are_of_a_fold_whatever_the_groups_say(tiny_encoder):
    class Standardized(Speech):
        @property
        def standardized(self):
            return (type("Moments", (), {"path": ("head", "moments")}),)

    model = Standardized(size="tiny").resolved(Resolution(1.0, EncoderLayout(tiny_encoder, normalize=True)))
    frozen = make_is_frozen(model, ((r"head\..*", None),))
    assert not frozen(("head", "moments", "mean"))
    assert frozen(HEAD)
