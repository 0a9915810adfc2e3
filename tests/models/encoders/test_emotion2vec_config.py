import jax
import pytest
from flax import nnx

from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import from_dict, preset
from serjax.models.encoders.emotion2vec_config import Emotion2vecConfig
from serjax.models.functional import abstract
from serjax.runtime.errors import UserError

SIZES = ("tiny", "small", "base", "large")


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_read_back(size):
    config = preset("emotion2vec", size)
    assert from_dict(config.to_dict(), "config.json") == config
    assert (config.min_samples, config.frame_hop, config.max_samples) == (400, 320, None)
    assert config.frames(16_000) == 49
    assert config.wave_epsilon == 1e-5


def test_base_has_the_number_of_the_published_weights():
    model = abstract(lambda rngs: build_encoder(preset("emotion2vec", "base"), rngs=rngs))
    # 90 million, as published.
    assert round(sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model))) / 1e6) == 93
    with pytest.raises(UserError, match="emotion2vec has no such size"):
        preset("emotion2vec", "medium")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_attention_heads": 5}, "num_attention_heads is 5, which does not divide hidden_size"),
        ({"num_conv_pos_embedding_groups": 5}, "num_conv_pos_embedding_groups is 5"),
        ({"prenet_depth": 9}, r"prenet_depth is 9, more than num_hidden_layers \(3\)"),
        ({"conv_stride": [10, 8]}, "conv_stride has 2 entries and conv_dim 3"),
        ({"hidden_size": "wide"}, "hidden_size is 'wide'"),
        ({"prenet_dropout": 1.0}, "prenet_dropout is 1.0"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_file_and_key(change, message):
    with pytest.raises(UserError, match=rf"^folder/config\.json: {message}") as raised:
        from_dict(preset("emotion2vec", "tiny").to_dict() | change, "folder/config.json")
    assert "\n" not in str(raised.value)


def test_a_key_that_decides_shapes_has_no_default():
    settings = preset("emotion2vec", "tiny").to_dict()
    with pytest.raises(UserError, match=r"^config\.json: hidden_size is missing, so this is no emotion2vec"):
        from_dict({key: value for key, value in settings.items() if key != "hidden_size"}, "config.json")
    del settings["prenet_dropout"]
    assert from_dict(settings, "config.json").prenet_dropout == 0.1


def test_parts_that_are_frozen_are_told_by_their_path():
    paths = [("feature_extractor", "conv_layers", 0), ("encoder", "alibi_scale"), ("encoder", "layers", 0)]
    for learned in (False, True):
        config = Emotion2vecConfig(learned_alibi_scale=learned)
        assert [config.is_stem(path) for path in paths] == [True, False, False]
        assert [config.is_fixed(path) for path in paths] == [False, not learned, False]


def test_layerdrop_of_training_is_the_prenets_too():
    config = Emotion2vecConfig().for_training(0.2, None, 0.3)
    assert (config.layerdrop, config.prenet_layerdrop) == (0.3, 0.3)
    assert (config.apply_spec_augment, config.mask_time_prob, config.mask_feature_prob) == (True, 0.2, 0.0)
    assert Emotion2vecConfig().for_training(None, None, None).mask_time_prob == 0
