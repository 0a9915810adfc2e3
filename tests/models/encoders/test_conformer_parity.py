"""w2v-BERT 2.0 and wav2vec2-conformer against transformers' in PyTorch: same weights, same waves, same answers."""

import json
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import serjax
from serjax.checkpoints.huggingface import load_encoder, save_pretrained

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.torch

TOLERANCE = 1e-4
SIZES = {
    "narrow": {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48},
    "wide": {"hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 6, "intermediate_size": 64},
}
TINY = SIZES["narrow"]
WAVES = {"conv_dim": [16, 24, 16, 24, 16, 24, 16], "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
BERT = [
    {"position_embeddings_type": "relative_key"},
    {"position_embeddings_type": "relative_key", "left_max_position_embeddings": 4, "right_max_position_embeddings": 0},
    {"position_embeddings_type": "relative"},
    {"position_embeddings_type": "rotary", "mask_time_prob": 0.0},
    {"position_embeddings_type": None, "conv_depthwise_kernel_size": 5},
]
CONFORMER = [
    {"position_embeddings_type": "relative", "feat_extract_norm": "layer", "conv_bias": True, "hidden_act": "swish"},
    {"position_embeddings_type": "rotary", "feat_extract_norm": "layer", "rotary_embedding_base": 500},
    {"position_embeddings_type": "relative", "feat_extract_norm": "group"},
    {"position_embeddings_type": None, "mask_time_prob": 0.0, "conv_depthwise_kernel_size": 5},
]
LAYOUTS = [("Bert", one) for one in BERT] + [("Conformer", one) for one in CONFORMER]
FIRST = [("Bert", BERT[0]), ("Conformer", CONFORMER[0])]
LENGTHS = [9000, 5123, 600]


def reference(kind, options, name="Model", seed=0, folder=None):
    """Return a model of transformers with random weights and statistics of no usual scale, written into a folder."""
    given = {**TINY, **(WAVES if kind == "Conformer" else {}), **options}
    config = getattr(transformers, f"Wav2Vec2{kind}Config")(**given)
    model = getattr(transformers, f"Wav2Vec2{kind}{name}")(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in (*model.named_parameters(), *model.named_buffers()):
            noise = torch.randn(value.shape, generator=generator)
            if key.endswith(("original0", "weight_g")) or (value.ndim == 1 and key.endswith("weight")):
                value.copy_(1 + 0.4 * noise)
            elif key.endswith("running_var"):
                value.copy_(0.5 + noise.abs())
            elif key.endswith(("bias", "running_mean", "masked_spec_embed")):
                value.copy_(0.3 * noise)
            elif value.ndim > 1 and not key.endswith(".pe"):
                value.copy_(1.5 * noise / value[0].numel() ** 0.5)
    if folder is not None:
        model.save_pretrained(folder)
        extractor_of(model).save_pretrained(folder)
    return model


def extractor_of(model):
    if model.config.model_type == "wav2vec2-bert":
        return transformers.SeamlessM4TFeatureExtractor()
    return transformers.Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)


def clips(lengths=LENGTHS, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(0, rng.uniform(0.01, 0.1), length).astype(np.float32) for length in lengths]


def theirs(model, waves):
    """Return each hidden state, the last one as last_hidden_state has it."""
    inputs = extractor_of(model)(
        waves, sampling_rate=16_000, padding=True, return_attention_mask=True, return_tensors="pt"
    )
    with torch.no_grad():
        output = getattr(model, model.base_model_prefix, model)(**inputs, output_hidden_states=True)
    return [*(state.numpy() for state in output.hidden_states[:-1]), output.last_hidden_state.numpy()]


@partial(jax.jit, static_argnums=(0, 4, 5))
def encode(graphdef, state, wave, lengths, padding, attentions):
    return nnx.merge(graphdef, state)(wave, lengths, padding=padding, attentions=attentions)


def ours(encoder, waves, padding="transformers", *, attentions=False):
    batch = np.zeros((len(waves), max(map(len, waves))), np.float32)
    for row, wave in zip(batch, waves, strict=True):
        row[: len(wave)] = wave
    lengths = jnp.array([len(wave) for wave in waves])
    return encode(*nnx.split(encoder), batch, lengths, padding, attentions)


def assert_close(output, expected, row=None):
    """Compare the true frames of every hidden state, or those of one row with that clip alone."""
    assert len(output.hidden_states) == len(expected)
    for mine, other in zip(output.hidden_states, expected, strict=True):
        rows = range(len(mine)) if row is None else [row]
        for index in rows:
            count = int(output.lengths[index])
            peer = other[index if row is None else 0]
            np.testing.assert_allclose(mine[index, :count], peer[:count], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("kind", "options"), LAYOUTS + [(kind, one | SIZES["wide"]) for kind, one in FIRST])
def test_hidden_states_of_every_layer(tmp_path, kind, options):
    model = reference(kind, options, folder=tmp_path)
    encoder, waves = load_encoder(str(tmp_path)).encoder, clips()
    exact = ours(encoder, waves, "exact")
    # Of w2v-BERT both ways of padding are one.
    assert_close(exact if kind == "Bert" else ours(encoder, waves), theirs(model, waves))
    for row, wave in enumerate(waves):
        alone = theirs(model, [wave])
        # An odd last frame of the filter bank makes a frame there that attention never sees.
        odd = kind == "Bert" and (1 + (len(wave) - 400) // 160) % 2
        assert int(exact.lengths[row]) == len(alone[0][0]) - odd
        assert_close(exact, alone, row)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "options"), FIRST)
def test_hidden_states_at_base_size(tmp_path, kind, options):
    size = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
    full = {"conv_dim": [512] * 7, "num_conv_pos_embeddings": 128, "num_conv_pos_embedding_groups": 16}
    model = reference(kind, options | size | (full if kind == "Conformer" else {}), folder=tmp_path)
    waves = clips([32_000, 21_000])
    assert_close(ours(load_encoder(str(tmp_path)).encoder, waves), theirs(model, waves))


@pytest.mark.parametrize(("kind", "options"), FIRST)
def test_attention_weights_of_every_layer(tmp_path, kind, options):
    model = reference(kind, options, folder=tmp_path)
    model.set_attn_implementation("eager")
    (wave,) = waves = clips([5040])
    inputs = extractor_of(model)(waves, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs, output_attentions=True).attentions
    output = ours(load_encoder(str(tmp_path)).encoder, [wave], attentions=True)
    assert len(output.attentions) == len(expected) == 3
    for mine, other in zip(output.attentions, expected, strict=True):
        count = int(output.lengths[0])
        np.testing.assert_allclose(mine[0], other.numpy()[0, :, :count, :count], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("kind", "name", "heads"),
    [
        ("Bert", "ForCTC", "lm_head"),
        ("Conformer", "ForCTC", "lm_head"),
        ("Conformer", "ForPreTraining", "project_hid, project_q, quantizer"),
    ],
)
def test_the_encoder_of_a_task_checkpoint(tmp_path, kind, name, heads):
    model = reference(kind, {"vocab_size": 20, "codevector_dim": 8}, name, 3, tmp_path)
    loaded = load_encoder(str(tmp_path))
    assert loaded.notes == (f"{tmp_path} also holds {heads}; only the encoder was loaded.",)
    waves = clips([3000])
    assert_close(ours(loaded.encoder, waves), theirs(model, waves))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("kind", "options"), FIRST)
def test_answers_of_their_classifier(tmp_path, kind, options, weighted):
    head = {"use_weighted_layer_sum": weighted, "classifier_proj_size": 20, "num_labels": 5}
    model = reference(kind, options | head, "ForSequenceClassification", 5, tmp_path)
    if weighted:
        with torch.no_grad():
            model.layer_weights.copy_(torch.arange(4) / 2)
        model.save_pretrained(tmp_path)
    ensemble, waves = serjax.load(str(tmp_path)), clips([9000, 5200, 600])
    for wave in waves:
        # Batches of several clips let the depthwise convolutions of wav2vec2-conformer see their padding.
        inputs = extractor_of(model)([wave], sampling_rate=16_000, return_tensors="pt")
        with torch.no_grad():
            probability = model(**inputs).logits.softmax(-1).numpy()[0]
        found = {answer["label"]: answer["score"] for answer in ensemble((wave, 16_000))}
        np.testing.assert_allclose([found[f"LABEL_{i}"] for i in range(5)], probability, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("kind", "options"), LAYOUTS)
def test_transformers_loads_what_we_save(tmp_path, kind, options):
    model = reference(kind, options, seed=11, folder=tmp_path / "theirs")
    loaded = load_encoder(str(tmp_path / "theirs"))
    save_pretrained(loaded.encoder, tmp_path / "ours", preprocessor=loaded.preprocessor)
    again, info = type(model).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for key, value in again.state_dict().items():
        assert value.dtype == model.state_dict()[key].dtype, key
    waves = clips([3000])
    for mine, other in zip(theirs(again.eval(), waves), theirs(model, waves), strict=True):
        np.testing.assert_array_equal(mine, other)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "ours")
    assert type(extractor) is type(extractor_of(model))
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["architectures"] == [f"Wav2Vec2{kind}Model"]


@pytest.mark.parametrize("number", [561, 8000, 12_345])
def test_the_filter_bank_is_that_of_their_feature_extractor(number):
    from serjax.models.encoders.wav2vec2_bert import stacked_banks

    waves = clips([number, 9000])
    expected = transformers.SeamlessM4TFeatureExtractor()(waves, sampling_rate=16_000, return_tensors="np")
    batch = np.zeros((2, max(map(len, waves))), np.float32)
    for row, wave in zip(batch, waves, strict=True):
        row[: len(wave)] = wave
    found = jax.jit(stacked_banks, static_argnums=2)(batch, jnp.array([number, 9000]), 80)
    for mine, other, mask in zip(found, expected.input_features, expected.attention_mask, strict=True):
        count = int(mask.sum())
        np.testing.assert_allclose(mine[:count], other[:count], rtol=0, atol=TOLERANCE)
