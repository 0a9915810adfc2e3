"""emotion2vec against FunASR's own class in PyTorch: same weights, same waves, same answers."""

import warnings

import numpy as np
import pytest
from funasr_folders import LABELS, TOKENS, settings, write_settings

import serjax
from serjax.checkpoints.huggingface import load_encoder, save_pretrained

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    pytest.importorskip("funasr", reason="FunASR is of an environment of its own (extra 'test-funasr')")
    from funasr.models.emotion2vec.model import Emotion2vec
    from funasr.tokenizer.char_tokenizer import CharTokenizer

pytestmark = pytest.mark.funasr

TOLERANCE = 1e-4
WIDE = {
    "embed_dim": 48,
    "num_heads": 6,
    "num_alibi_heads": 6,
    "depth": 4,
    "prenet_depth": 1,
    "model_depth": 4,
    "num_extra_tokens": 3,
    "mlp_ratio": 2.5,
    "conv_pos_depth": 2,
    "conv_pos_width": 16,
    "feature_encoder_spec": "[(12, 10, 5)] + [(24, 4, 4)] * 2 + [(20, 4, 4)]",
}
SIZES = {
    "as published, small": {},
    "six heads, an even kernel": WIDE,
    "a scale a layer": {"learned_alibi_scale_per_layer": True, "learned_alibi_scale_per_head": False},
}
BASE = {
    **{"embed_dim": 768, "num_heads": 12, "num_alibi_heads": 12, "depth": 8, "prenet_depth": 4, "model_depth": 8},
    **{"conv_pos_groups": 16, "decoder": None},
    "feature_encoder_spec": "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512,2,2)] + [(512,2,2)]",
}


def reference(folder, tokens=TOKENS, seed=0, wrapped=True, **options):
    """Return FunASR's model with random weights of no usual scale, and write its folder as it is published."""
    made = settings(**options)
    model = Emotion2vec(model_conf=made["model_conf"], vocab_size=len(tokens) if tokens else -1).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if key.endswith("alibi_scale"):
                value.copy_(0.7 + 0.6 * noise)
            elif value.ndim == 1:
                value.copy_(1 + 0.4 * noise if key.endswith("weight") else 0.3 * noise)
            else:
                value.copy_(1.5 * noise / value[0].numel() ** 0.5)
    write_settings(folder, made, tokens)
    state = model.state_dict()
    if wrapped:
        state = {key if key.startswith("proj.") else f"d2v_model.{key}": value for key, value in state.items()}
        state = {"model": {**state, "_ema": dict(state)}, "epoch": 3}
    torch.save(state, folder / "model.pt")
    return model


def clip(length, seed=0, level=0.01):
    """Return a quiet clip, where it shows which epsilon it is normalised with."""
    return np.random.default_rng(seed).normal(0.001, level, length).astype(np.float32)


def theirs(model, wave):
    """Return the first layer's input and each layer's output, without the extra tokens."""
    tokens, found = model.modality_encoders["AUDIO"].modality_cfg.num_extra_tokens, []
    encoder = model.modality_encoders["AUDIO"].context_encoder
    blocks = [*encoder.blocks, *model.blocks]
    hooks = [blocks[0].register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))]
    hooks += [block.register_forward_hook(lambda _, __, output: found.append(output[0])) for block in blocks]
    source = torch.tensor(wave)
    with torch.no_grad():
        source = torch.nn.functional.layer_norm(source, source.shape)
        features = model.extract_features(source[None], padding_mask=None)["x"]
    for hook in hooks:
        hook.remove()
    states = [state[:, tokens:].numpy() for state in found]
    np.testing.assert_array_equal(states[-1], features.numpy())
    return states


@pytest.mark.parametrize("options", SIZES.values(), ids=SIZES)
def test_hidden_states_of_every_layer(tmp_path, options):
    model = reference(tmp_path, **options)
    encoder = serjax.load_encoder(str(tmp_path))
    waves = [clip(length, seed) for seed, length in enumerate((9000, 5000, 1300))]
    output = encoder(waves)
    depth = encoder.config.num_hidden_layers
    for row, wave in enumerate(waves):
        expected = theirs(model, wave)
        assert len(expected) == len(output.hidden_states) == depth + 1
        for mine, other in zip(output.hidden_states, expected, strict=True):
            assert output.lengths[row] == other.shape[1]
            np.testing.assert_allclose(mine[row, : other.shape[1]], other[0], rtol=0, atol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("options", [BASE], ids=["base"])
def test_hidden_states_at_published_size(tmp_path, options):
    model = reference(tmp_path, tokens=None, **options)
    wave = clip(16_000)
    for mine, other in zip(serjax.load_encoder(str(tmp_path))([wave]).hidden_states, theirs(model, wave), strict=True):
        np.testing.assert_allclose(mine[:, : other.shape[1]], other, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("wrapped", [False, True])
def test_scores_are_those_of_its_own_inference(tmp_path, wrapped):
    """Its `inference` masks the classes called unuse, and gives names and scores of the others."""
    model = reference(tmp_path, wrapped=wrapped, seed=2)
    ensemble = serjax.load(str(tmp_path))
    tokenizer = CharTokenizer(token_list=str(tmp_path / "tokens.txt"), unk_symbol="<unk>")
    for seed, length in enumerate((9000, 4000)):
        wave = clip(length, seed)
        with torch.no_grad():
            ((expected,), _) = model.inference([torch.tensor(wave)], key=["a"], tokenizer=tokenizer, device="cpu")
        found = {answer["label"]: answer["score"] for answer in ensemble((wave, 16_000))}
        assert tuple(name.rpartition("/")[2] for name in expected["labels"]) == LABELS
        np.testing.assert_allclose([found[name] for name in LABELS], expected["scores"], rtol=0, atol=TOLERANCE)


def test_a_directory_of_ours_encodes_as_funasr_does(tmp_path):
    model = reference(tmp_path / "theirs", tokens=None, seed=4)
    loaded = load_encoder(str(tmp_path / "theirs"))
    save_pretrained(loaded.encoder, tmp_path / "ours", preprocessor=loaded.preprocessor)
    wave = clip(4000)
    for mine, other in zip(
        serjax.load_encoder(str(tmp_path / "ours"))([wave]).hidden_states, theirs(model, wave), strict=True
    ):
        np.testing.assert_allclose(mine[:, : other.shape[1]], other, rtol=0, atol=TOLERANCE)
