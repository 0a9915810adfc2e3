"""Every layout has the members that serjax asks of an encoder's configuration."""

import numpy as np
import pytest

from serjax.models.encoders.config import from_dict, preset
from serjax.models.encoders.families import FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_one_more_frame_follows_every_hop(family):
    config = preset(family, "base")
    lengths = config.min_samples + np.array([-1, 0, config.frame_hop - 1, config.frame_hop, 9 * config.frame_hop])
    first = config.squeezed  # frames that the shortest clip has
    expected = [first - 1, first, first, first + 1, first + 9]
    assert config.frames(lengths).tolist() == expected == [config.frames(int(length)) for length in lengths]


@pytest.mark.parametrize("family", FAMILIES)
def test_training_masks_what_the_checkpoint_or_the_experiment_says(family):
    config = preset(family, "base")
    own = config.for_training(None, None, None)
    assert own.apply_spec_augment
    assert own.mask_time_prob == (config.mask_time_prob if config.apply_spec_augment else 0)
    assert config.for_training(0.3, 0.1, None).mask_time_prob == 0.3
    assert config.for_training(0.3, 0.1, 0.5) != config.for_training(0.3, 0.1, 0.0)


def test_other_spellings_of_activations_and_null_dropouts_are_read():
    published = {"model_type": "wav2vec2", "hidden_act": "swish", "feat_extract_activation": "gelu_pytorch_tanh"}
    config = from_dict({**published, "feat_proj_dropout": None, "layerdrop": None}, "here")
    assert (config.hidden_act, config.feat_extract_activation) == ("silu", "gelu_new")
    assert config.feat_proj_dropout == config.layerdrop == 0
    config = from_dict({"model_type": "whisper", "activation_function": "swish", "encoder_layerdrop": None}, "here")
    assert (config.activation_function, config.encoder_layerdrop) == ("silu", 0)
