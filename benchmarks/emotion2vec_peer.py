"""emotion2vec in FunASR's own class, for `encoders.py`: weights that serjax reads, and calls as of transformers."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import yaml

SETTINGS = "config.yaml"
_SCALES = ("learned_alibi_scale", "learned_alibi_scale_per_head", "learned_alibi_scale_per_layer")
"""Keys that serjax and FunASR have in common."""


def _settings(size: str) -> dict[str, Any]:
    """Return the object of a config.yaml of a layout of serjax's."""
    from serjax.models.encoders.config import preset

    ours: Any = preset("emotion2vec", size)  # type: ignore[arg-type]
    layers = [list(map(int, one)) for one in zip(ours.conv_dim, ours.conv_kernel, ours.conv_stride, strict=True)]
    blocks = ours.num_hidden_layers - ours.prenet_depth
    still = {"start_drop_path_rate": 0.0, "end_drop_path_rate": 0.0}
    audio = {
        **still,
        "type": "AUDIO",
        "prenet_depth": ours.prenet_depth,
        "model_depth": blocks,
        "prenet_layerdrop": ours.prenet_layerdrop,
        "prenet_dropout": ours.prenet_dropout,
        "extractor_mode": "layer_norm",
        "feature_encoder_spec": str(layers),
        "conv_pos_depth": ours.num_conv_pos_embeddings,
        "conv_pos_width": ours.num_conv_pos_embeddings * ours.conv_pos_kernel_size,
        "conv_pos_groups": ours.num_conv_pos_embedding_groups,
        "conv_pos_pre_ln": False,
        "num_extra_tokens": ours.num_extra_tokens,
        "init_extra_token_zero": True,
        "use_alibi_encoder": True,
        "num_alibi_heads": ours.num_attention_heads,
        "alibi_scale": 1.0,
        "learned_alibi": False,
        **{key: getattr(ours, key) for key in _SCALES},
        "ema_local_encoder": False,
        "local_grad_mult": 1.0,
        "decoder": None,
    }
    conf = {
        **still,
        "depth": blocks,
        "embed_dim": ours.hidden_size,
        "num_heads": ours.num_attention_heads,
        "mlp_ratio": ours.intermediate_size / ours.hidden_size,
        "norm_eps": ours.layer_norm_eps,
        "norm_affine": True,
        "layer_norm_first": False,
        "encoder_dropout": ours.hidden_dropout,
        "attention_dropout": ours.attention_dropout,
        "activation_dropout": ours.activation_dropout,
        "post_mlp_drop": ours.post_mlp_dropout,
        "dropout_input": ours.dropout_input,
        "layerdrop": ours.layerdrop,
        "average_top_k_layers": blocks,
        "end_of_block_targets": False,
        "normalize": True,
        "modalities": {"audio": audio},
    }
    return {"model": "Emotion2vec", "model_conf": conf}


def _model(settings: dict[str, Any]) -> Any:
    """Return FunASR's model, called as one of transformers, with random weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from funasr.models.emotion2vec.model import Emotion2vec

    class Peer(Emotion2vec):  # type: ignore[misc]
        """The encoder; clips of several lengths are computed one by one, as FunASR's `inference` does."""

        config = SimpleNamespace(
            model_type="emotion2vec", hidden_size=settings["model_conf"]["embed_dim"], _attn_implementation=None
        )

        @property
        def dtype(self) -> Any:
            return self.modality_encoders["AUDIO"].extra_tokens.dtype

        def forward(self, input_values: Any, attention_mask: Any = None) -> Any:
            import torch

            if attention_mask is None:
                found = super().forward(input_values, mask=False, features_only=True)["x"]
            else:
                pairs = zip(input_values, attention_mask.sum(1).tolist(), strict=True)
                rows = [self(row[None, :length]).last_hidden_state for row, length in pairs]
                found = torch.cat(rows, 1)
            return SimpleNamespace(last_hidden_state=found)

    return Peer(model_conf=settings["model_conf"])


def write(folder: Path, size: str) -> None:
    """Write a folder as FunASR publishes it, with random weights."""
    import torch

    torch.manual_seed(0)
    settings = _settings(size)
    (folder / SETTINGS).write_text(yaml.safe_dump(settings), encoding="utf-8")
    torch.save(_model(settings).state_dict(), folder / "model.pt")


def load(folder: Path, dtype: Any) -> Any:
    """Return FunASR's model of a folder in a dtype of PyTorch's."""
    import torch

    model = _model(yaml.safe_load((folder / SETTINGS).read_text(encoding="utf-8")))
    model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
    return model.to(dtype)


def states(folder: Path, clips: Sequence[np.ndarray], dtype: Any) -> list[list[np.ndarray]]:
    """Return of each clip the first layer's input and each layer's output, without the extra tokens: [t d]."""
    import torch

    model = load(folder, dtype).eval()
    audio, found = model.modality_encoders["AUDIO"], []
    blocks = [*audio.context_encoder.blocks, *model.blocks]
    blocks[0].register_forward_pre_hook(lambda _, given: found[-1].append(given[0]))
    for block in blocks:
        block.register_forward_hook(lambda _, __, output: found[-1].append(output[0]))
    for clip in clips:
        found.append([])
        with torch.inference_mode():
            model(torch.from_numpy(clip[None]).to(dtype))
    tokens = audio.modality_cfg.num_extra_tokens
    return [[state[0, tokens:].numpy() for state in one] for one in found]
