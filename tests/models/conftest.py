from dataclasses import fields, replace

import pytest

from serjax.models.encoders.data2vec_config import Data2VecConfig
from serjax.models.encoders.sew_config import SEWConfig
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.encoders.wav2vec2_conformer_config import Wav2Vec2ConformerConfig

# Three convolutions instead of seven: a frame sees 30 samples and the next one starts 20 later.
GROUP = Wav2Vec2Config(
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=24,
    conv_dim=(8, 8, 8),
    conv_kernel=(10, 3, 2),
    conv_stride=(5, 2, 2),
    num_conv_pos_embeddings=6,
    num_conv_pos_embedding_groups=4,
    mask_time_prob=0.3,
    mask_time_length=3,
    layerdrop=0.0,
)
LAYER = replace(GROUP, model_type="wav2vec2", feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)
_FIELDS = {field.name for field in fields(LAYER)} - {"model_type", "num_hidden_layers", "do_stable_layer_norm"}
CONFORMER = Wav2Vec2ConformerConfig(
    **{key: getattr(LAYER, key) for key in _FIELDS}, num_hidden_layers=1, conv_depthwise_kernel_size=3
)
WAVLM = replace(GROUP, model_type="wavlm", num_buckets=8, max_bucket_distance=6)
_SHARED = {key: value for key, value in vars(GROUP).items() if key not in ("model_type", "feat_extract_norm")}
DATA2VEC = Data2VecConfig(**{**_SHARED, "num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5})
SEW = SEWConfig(**_SHARED, squeeze_factor=2)


@pytest.fixture(
    scope="session",
    params=[GROUP, LAYER, WAVLM, CONFORMER],
    ids=["group norm, post-LN", "layer norm, pre-LN", "WavLM", "conformer"],
)
def config(request):
    """The published layouts, small."""
    return request.param


@pytest.fixture(scope="session")
def layer_config():
    """The layout of our own sizes, where one layout shows as much as two."""
    return LAYER


@pytest.fixture(scope="session")
def wavlm_config():
    """WavLM's layout."""
    return WAVLM


@pytest.fixture(scope="session")
def data2vec_config():
    """data2vec-audio's layout."""
    return DATA2VEC


@pytest.fixture(scope="session")
def sew_config():
    """SEW's layout."""
    return SEW
