"""Adapters against PEFT's in PyTorch: its directories read here, and ours read there, with the same answers."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.checkpoints.adapter_weights import merged
from serjax.checkpoints.conversion import load_tensors, to_tensors
from serjax.checkpoints.huggingface import load_encoder
from serjax.checkpoints.peft import read_peft, write_peft
from serjax.models.adapters import adapt
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.families import FAMILIES
from serjax.models.functional import abstract

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning"),
    pytest.mark.filterwarnings("ignore:Could not find a config file:UserWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]
TOLERANCE = 1e-5
DENSE = ["intermediate_dense", "output_dense"]
ADAPTERS = {
    "two matrices": ("hubert", lambda: peft.LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"])),
    "last layers": (
        "wav2vec2",
        lambda: peft.LoraConfig(r=4, target_modules=["q_proj"], layers_to_transform=[1, 2], layers_pattern="layers"),
    ),
    "expression, rslora": (
        "hubert",
        lambda: peft.LoraConfig(r=4, use_rslora=True, target_modules=r".*\.layers\.[02]\..*(k_proj|_dense)"),
    ),
    "patterns": (
        "wav2vec2",
        lambda: peft.LoraConfig(
            r=4,
            target_modules="all-linear",
            rank_pattern={"k_proj": 2, r"^encoder\.layers\.1\.attention\.out_proj": 3},
            alpha_pattern={"layers.0.attention.k_proj": 16, "projection": 1},
        ),
    ),
    # transformers' WavLM hands the weights of its attention, not its layers, to PyTorch: PEFT has no effect there.
    "WavLM": ("wavlm", lambda: peft.LoraConfig(r=4, target_modules=[*DENSE, "gru_rel_pos_linear"])),
    "IA3": (
        "hubert",
        lambda: peft.IA3Config(
            target_modules=["k_proj", "v_proj", "output_dense"], feedforward_modules=["output_dense"]
        ),
    ),
    "Whisper": ("whisper", lambda: peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj", "fc1"])),
}
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": [16, 24, 16, 24, 16, 24, 16],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
WHISPER = {
    "d_model": 32,
    "encoder_layers": 3,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_layers": 0,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 48,
    "vocab_size": 50,
    "max_source_positions": 100,
    "num_mel_bins": 8,
    **{f"{name}_token_id": 1 for name in ("pad", "bos", "eos", "decoder_start")},
}


def randomise(model, part, scale):
    """Add noise to the parameters whose names have a part, so that no zero or one hides a mistake."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if part in name:
                value.add_(scale * torch.randn(value.shape, generator=generator))
    return model.eval()


def their_encoder(family):
    torch.manual_seed(0)
    module = getattr(transformers, f"{FAMILIES[family].architecture}Model")
    model = module(module.config_class(**(WHISPER if family == "whisper" else TINY)))
    return randomise(model, "", 0.1)


def answer_of(model, family, wave):
    with torch.no_grad():
        if family == "whisper":
            return model.base_model.model.encoder(torch.tensor(wave)).last_hidden_state.numpy()
        return model(torch.tensor(wave)).last_hidden_state.numpy()


def our_answer(encoder, family, wave):
    if family == "whisper":
        looked = jnp.ones((1, 100), bool)
        mel = jnp.asarray(np.pad(wave.swapaxes(1, 2), ((0, 0), (0, 1), (0, 0))))
        return encoder.encoder(mel, looked, None, frozen_layers=None, remat=False)[0][-1]
    return encoder(wave, np.array([wave.shape[1]])).hidden_states[-1]


@pytest.mark.parametrize("name", ADAPTERS)
def test_answers_are_those_of_peft_both_ways(tmp_path, name):
    family, make = ADAPTERS[name]
    model = their_encoder(family)
    model.save_pretrained(tmp_path / "base")
    # A of LoRA is drawn by PEFT, and B is zero; IA3 begins with ones.
    theirs = randomise(randomise(peft.get_peft_model(model, make()), "lora_B", 0.3), "ia3_l", 0.3)
    theirs.save_pretrained(tmp_path / "adapter")
    shape = (1, 8, 200) if family == "whisper" else (1, 4_000)
    wave = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = answer_of(theirs, family, wave)

    base = load_encoder(str(tmp_path / "base")).encoder
    plain = our_answer(base, family, wave)
    assert np.abs(plain - expected).max() > 0.01
    found = read_peft(str(tmp_path / "adapter"), base.config)

    def build(rngs):
        encoder = build_encoder(base.config, rngs=rngs)
        adapt(encoder, found.settings, rngs=rngs)
        return encoder

    ours = abstract(build)
    tensors = to_tensors(base) | found.tensors
    nnx.update(ours, load_tensors(ours, tensors, source=name))
    np.testing.assert_allclose(our_answer(ours, family, wave), expected, atol=TOLERANCE)
    nnx.update(base, load_tensors(base, merged(tensors, found.settings), source=name))
    np.testing.assert_allclose(our_answer(base, family, wave), expected, atol=TOLERANCE)

    write_peft(tmp_path / "ours", ours, found.settings, str(tmp_path / "base"))
    again = peft.PeftModel.from_pretrained(their_encoder(family), tmp_path / "ours").eval()
    np.testing.assert_allclose(answer_of(again, family, wave), expected, atol=1e-6)
