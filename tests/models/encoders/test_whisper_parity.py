"""Whisper's encoder against transformers' in PyTorch: same weights, same waves, same answers."""

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
from serjax.models.encoders.whisper import log_mel
from serjax.runtime.errors import UserError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.torch

TOLERANCE = 1e-4
# Positions for one second.
TINY = {
    "d_model": 32,
    "encoder_layers": 3,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "max_source_positions": 50,
    "decoder_layers": 1,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 32,
    "vocab_size": 60,
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1),
}
WIDE = {**TINY, "d_model": 48, "num_mel_bins": 128, "encoder_layers": 2, "encoder_attention_heads": 6}
LENGTHS = [16_000, 9000, 400]


def reference(name, seed=0, folder=None, **options):
    """Return a model of transformers with random weights of no usual scale, written into a folder."""
    model = getattr(transformers, name)(transformers.WhisperConfig(**{**TINY, **options})).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if value.ndim == 1:
                value.copy_(1 + 0.4 * noise if key.endswith("weight") else 0.3 * noise)
            elif "embed_positions" not in key:
                value.copy_(1.5 * noise / value[0].numel() ** 0.5)
    if folder is not None:
        model.save_pretrained(folder)
        extractor_of(model).save_pretrained(folder)
    return model


def extractor_of(model):
    seconds = model.config.max_source_positions // 50
    return transformers.WhisperFeatureExtractor(feature_size=model.config.num_mel_bins, chunk_length=seconds)


def clips(lengths=LENGTHS, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(0, rng.uniform(0.1, 1), length).astype(np.float32) for length in lengths]


def features(model, waves):
    return extractor_of(model)(waves, sampling_rate=16_000, return_tensors="pt").input_features


def theirs(encoder, model, waves):
    with torch.no_grad():
        output = encoder(features(model, waves), output_hidden_states=True)
    return [*(state.numpy() for state in output.hidden_states[:-1]), output.last_hidden_state.numpy()]


@partial(jax.jit, static_argnums=(0, 4))
def encode(graphdef, state, wave, lengths, padding):
    return nnx.merge(graphdef, state)(wave, lengths, padding=padding)


def ours(encoder, waves, padding="transformers"):
    batch = np.zeros((len(waves), max(map(len, waves))), np.float32)
    for row, wave in zip(batch, waves, strict=True):
        row[: len(wave)] = wave
    return encode(*nnx.split(encoder), batch, jnp.array([len(wave) for wave in waves]), padding)


@pytest.mark.parametrize("mels", [80, 128])
@pytest.mark.parametrize("length", [320, 30_011, 479_990, 480_000])
def test_the_spectrogram_is_that_of_their_feature_extractor(mels, length):
    wave = np.random.default_rng(length).normal(size=length).astype(np.float32)
    wave *= np.linspace(0, 1, length, dtype=np.float32) ** 6
    wave += np.sin(0.3 * np.arange(length), dtype=np.float32)
    extractor = transformers.WhisperFeatureExtractor(feature_size=mels)
    expected = extractor(wave, sampling_rate=16_000, return_tensors="np").input_features[0]
    spectrogram = jax.jit(log_mel, static_argnums=(2, 3))
    padded = jnp.asarray(np.pad(wave, (0, 480_000 - length)))[None]
    whole = spectrogram(padded, jnp.array([length]), mels, 480_000)[0].T
    np.testing.assert_allclose(whole, expected, rtol=0, atol=TOLERANCE)
    if length < 479_000:
        own = spectrogram(wave[None], jnp.array([length]), mels, 480_000)[0].T
        np.testing.assert_allclose(own, expected[:, : own.shape[1]], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("options", [TINY, WIDE], ids=["80 filters", "128 filters"])
def test_hidden_states_of_every_layer(tmp_path, options):
    model = reference("WhisperModel", folder=tmp_path, **options)
    encoder, waves = load_encoder(str(tmp_path)).encoder, clips()
    expected, output = theirs(model.encoder, model, waves), ours(encoder, waves)
    assert len(output.hidden_states) == len(expected) == options["encoder_layers"] + 1
    for mine, other in zip(output.hidden_states, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=TOLERANCE)
    # EmoBox keeps these.
    assert output.lengths.tolist() == [length // 320 for length in LENGTHS]
    exact = ours(encoder, waves, "exact")
    for mine, other in zip(exact.hidden_states, expected, strict=True):
        np.testing.assert_allclose(mine[0], other[0], rtol=0, atol=TOLERANCE)


@pytest.mark.slow
def test_hidden_states_at_published_size(tmp_path):
    model = reference(
        "WhisperModel",
        folder=tmp_path,
        **{
            **TINY,
            "d_model": 384,
            "encoder_attention_heads": 6,
            "encoder_layers": 4,
            "encoder_ffn_dim": 1536,
            "max_source_positions": 1500,
        },
    )
    waves = clips([48_000])
    for mine, other in zip(
        ours(load_encoder(str(tmp_path)).encoder, waves).hidden_states, theirs(model.encoder, model, waves), strict=True
    ):
        np.testing.assert_allclose(mine, other, rtol=0, atol=TOLERANCE)


def test_attention_weights_of_every_layer(tmp_path):
    model = reference("WhisperModel", folder=tmp_path)
    model.set_attn_implementation("eager")
    waves = clips([16_000])
    with torch.no_grad():
        expected = model.encoder(features(model, waves), output_attentions=True).attentions
    encoder = load_encoder(str(tmp_path)).encoder
    output = encoder(jnp.asarray(waves[0])[None], jnp.array([16_000]), attentions=True)
    for mine, other in zip(output.attentions, expected, strict=True):
        np.testing.assert_allclose(mine, other.numpy(), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "others"),
    [("WhisperForConditionalGeneration", "decoder"), ("WhisperForAudioClassification", "classifier, projector")],
)
def test_the_encoder_of_a_task_checkpoint(tmp_path, name, others):
    model = reference(name, 3, tmp_path)
    loaded = load_encoder(str(tmp_path))
    (note,) = loaded.notes
    assert note.startswith(f"{tmp_path} also holds {others}")
    encoder = model.encoder if hasattr(model, "encoder") else model.model.encoder
    waves = clips([5000])
    expected = theirs(encoder, model, waves)
    for mine, other in zip(ours(loaded.encoder, waves).hidden_states, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=TOLERANCE)


def test_a_decoder_alone_is_refused(tmp_path):
    reference("WhisperForCausalLM", folder=tmp_path)
    for load in (load_encoder, serjax.load):
        with pytest.raises(UserError, match="its weights are a decoder's, without the encoder") as raised:
            load(str(tmp_path))
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("weighted", [False, True])
def test_logits_of_their_classifier(tmp_path, weighted):
    options = {"use_weighted_layer_sum": weighted, "classifier_proj_size": 20, "num_labels": 5}
    model = reference("WhisperForAudioClassification", 5, tmp_path, **options)
    ensemble, waves = serjax.load(str(tmp_path)), clips()
    with torch.no_grad():
        expected = model(features(model, waves)).logits.softmax(-1).numpy()
    for wave, probability in zip(waves, expected, strict=True):
        found = {answer["label"]: answer["score"] for answer in ensemble((wave, 16_000))}
        np.testing.assert_allclose([found[f"LABEL_{i}"] for i in range(5)], probability, rtol=0, atol=TOLERANCE)


def test_transformers_loads_what_we_save(tmp_path):
    model = reference("WhisperModel", 11, tmp_path / "theirs")
    loaded = load_encoder(str(tmp_path / "theirs"))
    save_pretrained(loaded.encoder, tmp_path / "ours", preprocessor=loaded.preprocessor)
    again, info = transformers.WhisperModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert all(key.startswith("decoder.") for key in info["missing_keys"])
    assert not info["unexpected_keys"]
    waves = clips([3000])
    for mine, other in zip(
        theirs(again.eval().encoder, model, waves), theirs(model.encoder, model, waves), strict=True
    ):
        np.testing.assert_array_equal(mine, other)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "ours")
    np.testing.assert_array_equal(extractor(waves, sampling_rate=16_000).input_features, features(model, waves).numpy())
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["architectures"] == ["WhisperModel"]
