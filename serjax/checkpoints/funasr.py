"""emotion2vec as FunASR publishes it: config.yaml, model.pt and tokens.txt, read as a Hugging Face directory would be.

Its `proj` on the mean of a clip's frames is the head of transformers' ForSequenceClassification, a Linear layer on each
frame, their mean and a Linear layer, where the last one is the identity. Classes called unuse have no score in FunASR,
so their rows are left out; all others, `<unk>` too, are classes.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from serjax.checkpoints.formats.torch_pickle import read_torch_file
from serjax.checkpoints.formats.yaml_files import read_yaml
from serjax.checkpoints.hub import FUNASR
from serjax.models.encoders.families import FAMILIES
from serjax.runtime.errors import UserError, brief
from serjax.runtime.json_files import read_bytes

WEIGHTS, TOKENS = "model.pt", "tokens.txt"
_MODEL = "Emotion2vec"
_UNUSED = "unuse"
"""Beginning of the names of classes that FunASR gives no score."""
_WITHIN = ("state_dict", "model_state_dict", "model")
_EMA = "_ema"
_PREFIXES = ("module.", "d2v_model.")
_PASSED_OVER = ("modality_encoders.AUDIO.decoder.", "shared_decoder.", "recon_proj.")
"""Beginnings of the keys that pretraining leaves behind."""
_MOST_CONVOLUTIONS = 32
_WIDEST = 1000
"""Most times that a feed-forward layer may be wider than the others; published ones are 4 times as wide."""

_PLAIN = {
    "depth": "depth",
    "num_attention_heads": "num_heads",
    "hidden_size": "embed_dim",
    "layer_norm_eps": "norm_eps",
    "hidden_dropout": "encoder_dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
    "post_mlp_dropout": "post_mlp_drop",
    "dropout_input": "dropout_input",
    "layerdrop": "layerdrop",
    "prenet_depth": "modalities.audio.prenet_depth",
    "prenet_dropout": "modalities.audio.prenet_dropout",
    "prenet_layerdrop": "modalities.audio.prenet_layerdrop",
    "num_extra_tokens": "modalities.audio.num_extra_tokens",
    "num_conv_pos_embeddings": "modalities.audio.conv_pos_depth",
    "num_conv_pos_embedding_groups": "modalities.audio.conv_pos_groups",
    "learned_alibi_scale": "modalities.audio.learned_alibi_scale",
    "learned_alibi_scale_per_head": "modalities.audio.learned_alibi_scale_per_head",
    "learned_alibi_scale_per_layer": "modalities.audio.learned_alibi_scale_per_layer",
}
"""Keys of config.json, and FunASR's below model_conf."""
_THEIRS = {key: name for key, name in _PLAIN.items() if key not in ("depth", "layerdrop")} | {
    "num_hidden_layers": "depth + modalities.audio.prenet_depth",
    "intermediate_size": "embed_dim * mlp_ratio",
    **dict.fromkeys(("conv_dim", "conv_kernel", "conv_stride"), "modalities.audio.feature_encoder_spec"),
    "conv_pos_kernel_size": "modalities.audio.conv_pos_width",
}
"""Keys of config.yaml by those of config.json, for messages."""
_COMPUTED: dict[str, Any] = {
    "norm_affine": True,
    "layer_norm_first": False,
    "start_drop_path_rate": 0,
    "end_drop_path_rate": 0,
    "modalities.audio.extractor_mode": "layer_norm",
    "modalities.audio.use_alibi_encoder": True,
    "modalities.audio.learned_alibi": False,
    "modalities.audio.conv_pos_pre_ln": False,
    "modalities.audio.start_drop_path_rate": 0,
    "modalities.audio.end_drop_path_rate": 0,
}
"""Keys that would change what is computed, with the one value that serjax computes."""

_AUDIO = r"modality_encoders\.AUDIO\."
_NAMES = (
    (rf"{_AUDIO}local_encoder\.conv_layers\.(\d+)\.0\.", r"feature_extractor.conv_layers.\1.conv."),
    (rf"{_AUDIO}local_encoder\.conv_layers\.(\d+)\.2\.1\.", r"feature_extractor.conv_layers.\1.layer_norm."),
    (rf"{_AUDIO}project_features\.1\.", "feature_projection.layer_norm."),
    (rf"{_AUDIO}project_features\.2\.", "feature_projection.projection."),
    (rf"{_AUDIO}(alibi_scale|extra_tokens)$", r"encoder.\1"),
    (rf"{_AUDIO}context_encoder\.norm\.", "encoder.layer_norm."),
    (rf"{_AUDIO}context_encoder\.blocks\.(\d+)\.", r"encoder.layers.\1."),
)
"""Beginnings of FunASR's keys, and serjax's; positional convolutions and blocks are counted on besides."""


def is_funasr(directory: Path) -> bool:
    """Return whether a directory is of FunASR's layout."""
    return (directory / FUNASR).is_file() and not (directory / "config.json").is_file()


def read_config(directory: Path, source: str) -> dict[str, Any]:
    """Read config.yaml and tokens.txt as the object of a config.json, with `normalize` for the preprocessor.

    Args:
        directory: of the checkpoint.
        source: what to call it in a message.

    Raises:
        UserError: it is of another model, a key is missing, or asks for something that serjax does not compute.
    """
    path = f"{source}/{FUNASR}"
    found = read_yaml(directory / FUNASR)
    if found.get("model") != _MODEL:
        raise UserError(
            f"{path}: model is {brief(found.get('model', 'missing'))}, but of FunASR's models serjax reads {_MODEL} "
            "alone; give an emotion2vec."
        )
    conf = found.get("model_conf")
    for key, value in _COMPUTED.items():
        if _of(conf, key, path) != value:
            raise UserError(
                f"{path}: {key} is {brief(_of(conf, key, path))}, as in no published emotion2vec, and serjax computes "
                f"{value} alone; give another release."
            )
    config = {ours: _of(conf, theirs, path) for ours, theirs in _PLAIN.items()}
    numbers = {key: config[key] for key in ("depth", "prenet_depth", "hidden_size", "num_conv_pos_embeddings")}
    numbers["conv_pos_width"] = _of(conf, "modalities.audio.conv_pos_width", path)
    for key, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int):
            name = _PLAIN.get(key, f"modalities.audio.{key}")
            raise UserError(f"{path}: {name} is {brief(value)}; it must be a whole number.")
    ratio, heads = _of(conf, "mlp_ratio", path), _of(conf, "modalities.audio.num_alibi_heads", path)
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 < ratio <= _WIDEST:
        raise UserError(f"{path}: mlp_ratio is {brief(ratio)}; it must be a number above 0, and {_WIDEST} at most.")
    normalize = _of(conf, "normalize", path)
    if not isinstance(normalize, bool):
        raise UserError(f"{path}: normalize is {brief(normalize)}; it must be true or false.")
    if heads != config["num_attention_heads"]:
        raise UserError(
            f"{path}: num_alibi_heads is {brief(heads)}, but there are {brief(config['num_attention_heads'])} heads; "
            "give a config.yaml and a model.pt of one model."
        )
    layers = _convolutions(_of(conf, "modalities.audio.feature_encoder_spec", path), path)
    width, kernel, stride = (list(one) for one in zip(*layers, strict=True))
    kernel_size = max(3, numbers["conv_pos_width"] // max(1, numbers["num_conv_pos_embeddings"]))
    config |= {
        "model_type": "emotion2vec",
        "num_hidden_layers": config.pop("depth") + config["prenet_depth"],
        "intermediate_size": int(config["hidden_size"] * ratio),
        **{"conv_dim": width, "conv_kernel": kernel, "conv_stride": stride, "conv_pos_kernel_size": kernel_size},
        "normalize": normalize,
        "tokens": _tokens(directory, found),
        "scope_map": found.get("scope_map"),
    }
    labels = kept_labels(config["tokens"])
    if (config["tokens"] and not labels) or "" in labels or len(set(labels)) < len(labels):
        raise UserError(
            f"{source}/{TOKENS}: a class must have a name of its own, and one of them another than {_UNUSED}; fetch it "
            "again."
        )
    return config | ({"id2label": dict(enumerate(labels))} if labels else {})


def in_their_words(message: str) -> str:
    """Return a sentence on the object that `read_config` makes with the keys of config.yaml in it."""
    return re.sub(rf"(?<![\w./-])({'|'.join(_THEIRS)})(?![\w/-])", lambda found: _THEIRS[found[0]], message)


def _of(conf: Any, key: str, path: str) -> Any:
    """Return the value of a dotted key below model_conf."""
    value, beginning = conf, "model_conf"
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise UserError(
                f"{path}: {beginning}.{part} is missing, so this is no emotion2vec of FunASR 1; fetch it again."
            )
        value, beginning = value[part], f"{beginning}.{part}"
    return value


def _convolutions(text: Any, path: str) -> list[tuple[int, int, int]]:
    """Return width, kernel and stride of each convolution, of a sum of lists of triples times numbers.

    FunASR runs the text as Python; here it is read.
    """

    def read(node: ast.expr) -> list[tuple[int, int, int]]:
        match node:
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                found = read(left) + read(right)
            case ast.BinOp(left=left, op=ast.Mult(), right=ast.Constant(value=int(times))):
                found = read(left) * min(times, _MOST_CONVOLUTIONS + 1)
            case ast.List() | ast.Tuple():
                found = [tuple(map(int, one)) for one in ast.literal_eval(node)]  # type: ignore[misc]
            case _:
                raise ValueError(node)
        if len(found) > _MOST_CONVOLUTIONS or any(len(one) != 3 for one in found):
            raise ValueError(found)
        return found

    try:
        layers = read(ast.parse(str(text).strip()[:1000], mode="eval").body)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        layers = []
    if not layers:
        raise UserError(
            f"{path}: feature_encoder_spec is {brief(text)}; it must be lists of (width, kernel, stride), added and "
            "multiplied by numbers; fetch it again."
        )
    return layers


def _tokens(directory: Path, found: Mapping[str, Any]) -> list[str]:
    """Return the names of proj's rows: the lines of tokens.txt, else tokenizer_conf.token_list; none: no names."""
    path = directory / TOKENS
    if path.is_file():
        try:
            return [line.rstrip() for line in read_bytes(path).decode("utf-8-sig").splitlines()]
        except UnicodeDecodeError:
            raise UserError(f"{path}: it is no text in UTF-8; fetch it again.") from None
    conf = found.get("tokenizer_conf")
    tokens = conf.get("token_list") if isinstance(conf, Mapping) else None
    return [str(token) for token in tokens] if isinstance(tokens, list) else []


def kept_labels(tokens: Sequence[str]) -> list[str]:
    """Return the names of the classes that have scores; of two names with a slash, Chinese and English, the last."""
    kept = [token for token in tokens if not token.startswith(_UNUSED)]
    short = [token.rpartition("/")[2].strip() or token for token in kept]
    return short if len(set(short)) == len(kept) else kept


def read_weights(
    directory: Path, config: Mapping[str, Any], source: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Read model.pt, by the keys of a classifier of serjax's, and sentences on what is left out.

    Args:
        directory: of the checkpoint.
        config: what `read_config` returns.
        source: what to call it in a message.

    Raises:
        UserError: the file is missing or damaged, or its classifier is not of the encoder's width or of the tokens.
    """
    if not (directory / WEIGHTS).is_file():
        raise UserError(f"{directory / WEIGHTS}: there is no such file; FunASR's weights must be there.")
    found = _without_prefixes(read_torch_file(directory / WEIGHTS, _WITHIN, (_EMA,)), config["scope_map"])
    extra = [key for key in found if key.startswith(_PASSED_OVER)]
    own = FAMILIES["emotion2vec"].prefix
    head = {key: found.pop(f"proj.{key}") for key in ("weight", "bias") if f"proj.{key}" in found}
    tensors = {own + _renamed(key, config): tensor for key, tensor in found.items() if key not in extra}
    notes = [f"{source} also holds a decoder of its pretraining, which is passed over."] if extra else []
    if head:
        tokens = config["tokens"] or [f"LABEL_{row}" for row in range(len(head.get("bias", ())))]
        shape, bias = head["weight"].shape if "weight" in head else (), head.get("bias")
        if shape != (len(tokens), config["hidden_size"]) or bias is None or bias.shape != shape[:1]:
            raise UserError(
                f"{source}: proj of {WEIGHTS} has the shape {shape}, but {TOKENS} names {len(tokens)} classes and the "
                f"encoder is {config['hidden_size']} wide; give files of one model."
            )
        rows = [row for row, token in enumerate(tokens) if not token.startswith(_UNUSED)]
        if len(rows) < len(tokens):
            notes.append(f"{source}: {len(tokens) - len(rows)} classes called {_UNUSED} have no score, as in FunASR.")
        tensors |= {"projector.weight": head["weight"][rows], "projector.bias": bias[rows]}
        identity = np.eye(len(rows), dtype=np.float32)
        tensors |= {"classifier.weight": identity, "classifier.bias": np.zeros(len(rows), np.float32)}
    return tensors, tuple(notes)


def _without_prefixes(tensors: Mapping[str, np.ndarray], scope_map: Any) -> dict[str, np.ndarray]:
    """Return the tensors without what a training put before their keys: FunASR's prefixes, and those of scope_map."""
    pairs = scope_map.split(",") if isinstance(scope_map, str) else scope_map if isinstance(scope_map, list) else []
    prefixes = (*(str(one) for one in pairs[::2] if str(one).lower() != "none"), *_PREFIXES)
    plain: dict[str, np.ndarray] = {}
    for key, tensor in tensors.items():
        for prefix in prefixes:
            key = key.removeprefix(prefix)
        plain[key] = tensor
    return plain


def _renamed(key: str, config: Mapping[str, Any]) -> str:
    """Return serjax's name of an encoder's tensor; one that FunASR's model does not have stays as it is."""
    for pattern, name in _NAMES:
        if re.match(pattern, key):
            return re.sub(pattern, name, key, count=1)
    positional = re.match(rf"{_AUDIO}relative_positional_encoder\.(\d+)\.0\.", key)
    if positional:
        return f"encoder.pos_conv_embed.layers.{int(positional[1]) - 1}.conv.{key[positional.end() :]}"
    block = re.match(r"blocks\.(\d+)\.", key)
    if block:
        return f"encoder.layers.{int(block[1]) + config['prenet_depth']}.{key[block.end() :]}"
    return key
