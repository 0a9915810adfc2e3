"""Folders as FunASR publishes emotion2vec, with settings as published and random weights of any size."""

import yaml

TOKENS = ("生气/angry", "unuse_0", "unuse_1", "开心/happy", "中立/neutral", "<unk>")
LABELS = ("angry", "happy", "neutral", "<unk>")


def settings(**changes):
    """Return the object of a config.yaml: of published settings, small; keys of modalities.audio are told apart."""
    audio = {
        "type": "AUDIO",
        "prenet_depth": 2,
        "prenet_layerdrop": 0.05,
        "prenet_dropout": 0.1,
        "start_drop_path_rate": 0.0,
        "end_drop_path_rate": 0.0,
        "num_extra_tokens": 10,
        "init_extra_token_zero": True,
        "mask_noise_std": 0.01,
        "mask_prob_min": None,
        "mask_prob": 0.5,
        "inverse_mask": False,
        "mask_prob_adjust": 0.05,
        "keep_masked_pct": 0.0,
        "mask_length": 5,
        "add_masks": False,
        "remove_masks": False,
        "mask_dropout": 0.0,
        "encoder_zero_mask": True,
        "mask_channel_prob": 0.0,
        "mask_channel_length": 64,
        "ema_local_encoder": False,
        "local_grad_mult": 1.0,
        "use_alibi_encoder": True,
        "alibi_scale": 1.0,
        "learned_alibi": False,
        "alibi_max_pos": None,
        "learned_alibi_scale": True,
        "learned_alibi_scale_per_head": True,
        "learned_alibi_scale_per_layer": False,
        "num_alibi_heads": 4,
        "model_depth": 3,
        "decoder": {
            "decoder_dim": 16,
            "decoder_groups": 4,
            "decoder_kernel": 7,
            "decoder_layers": 2,
            "input_dropout": 0.1,
            "add_positions_masked": False,
            "add_positions_all": False,
            "decoder_residual": True,
            "projection_layers": 1,
            "projection_ratio": 2.0,
        },
        "extractor_mode": "layer_norm",
        "feature_encoder_spec": "[(16, 10, 5)] + [(24, 3, 2)] * 4 + [(24,2,2)] + [(16,2,2)]",
        "conv_pos_width": 95,
        "conv_pos_groups": 4,
        "conv_pos_depth": 5,
        "conv_pos_pre_ln": False,
    }
    model = {
        "depth": 3,
        "start_drop_path_rate": 0.0,
        "end_drop_path_rate": 0.0,
        "num_heads": 4,
        "norm_eps": 1e-5,
        "norm_affine": True,
        "encoder_dropout": 0.1,
        "post_mlp_drop": 0.1,
        "attention_dropout": 0.1,
        "activation_dropout": 0.0,
        "dropout_input": 0.0,
        "layerdrop": 0.05,
        "embed_dim": 32,
        "mlp_ratio": 4.0,
        "layer_norm_first": False,
        "average_top_k_layers": 3,
        "end_of_block_targets": False,
        "clone_batch": 8,
        "normalize": True,
    }
    audio |= {key: changes.pop(key) for key in list(changes) if key in audio and key not in model}
    return {
        "model": "Emotion2vec",
        "model_conf": {**model, **changes, "modalities": {"audio": audio}},
        "tokenizer": "CharTokenizer",
        "tokenizer_conf": {"unk_symbol": "<unk>", "split_with_space": True},
        "scope_map": ["d2v_model.", "none"],
    }


def write_settings(folder, made, tokens=TOKENS):
    """Write config.yaml and, where there are classes, tokens.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    # PyYAML writes 1e-05, which YAML 1.1 takes for a text, as the published files have it.
    (folder / "config.yaml").write_text(yaml.safe_dump(made).replace("1.0e-05", "1e-05"), encoding="utf-8")
    if tokens:
        (folder / "tokens.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
