import jax
import pytest
from flax import nnx

from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import from_dict, preset
from serjax.models.encoders.sew_config import SEWConfig
from serjax.models.functional import abstract
from serjax.runtime.errors import UserError

SIZES = ("tiny", "small", "base")


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_read_back(size):
    config = preset("sew", size)
    assert from_dict(config.to_dict() | {"vocab_size": 32, "do_stable_layer_norm": True}, "config.json") == config
    assert (config.receptive_field, config.frame_hop, config.squeezed, config.min_samples) == (400, 320, 2, 720)
    assert config.frames(720) == 2


def test_there_is_no_large():
    with pytest.raises(UserError, match="sew has no such size"):
        preset("sew", "large")


@pytest.mark.parametrize("value", [0, "two", None])
def test_what_cannot_be_computed_is_refused_by_file_and_key(value):
    with pytest.raises(UserError, match=r"^folder/config\.json: squeeze_factor is "):
        from_dict(preset("sew", "tiny").to_dict() | {"squeeze_factor": value}, "folder/config.json")


@pytest.mark.torch
@pytest.mark.parametrize("size", SIZES)
def test_defaults_and_sizes_are_those_of_transformers(size):
    import torch
    import transformers

    assert from_dict(transformers.SEWConfig().to_dict(), "") == SEWConfig()
    config = preset("sew", size)
    with torch.device("meta"):
        model = transformers.SEWModel(transformers.SEWConfig(**config.to_dict()))
    ours = abstract(lambda rngs: build_encoder(config, rngs=rngs))
    assert sum(p.numel() for p in model.parameters()) == sum(leaf.size for leaf in jax.tree.leaves(nnx.state(ours)))
