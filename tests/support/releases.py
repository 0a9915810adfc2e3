"""Published classifiers of layouts of their own, small and with random weights, in the files of their authors."""

import json
from functools import cache

from noise import noisy
from safetensors.numpy import save_file
from torch_files import write_state

from serjax.checkpoints.conversion import to_tensors
from serjax.models.classifiers.odyssey import OdysseyClassifier, OdysseyLayout
from serjax.models.classifiers.speechbrain import SpeechBrainClassifier, SpeechBrainLayout
from serjax.models.classifiers.vox_profile import VoxProfileClassifier, VoxProfileLayout
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.encoders.whisper_config import WhisperConfig

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8, 8, 8),
    "conv_stride": (5, 8, 8),
    "conv_kernel": (10, 8, 8),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}
WAV2VEC2 = Wav2Vec2Config(model_type="wav2vec2", **SMALL)
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "num_buckets": 8, "max_bucket_distance": 6}
WAVLM = Wav2Vec2Config(model_type="wavlm", **SMALL, **LARGE)
WHISPER = WhisperConfig(
    d_model=16,
    encoder_layers=3,
    encoder_attention_heads=2,
    encoder_ffn_dim=24,
    num_mel_bins=8,
    max_source_positions=750,
)
EMOTIONS = ("Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Contempt", "Neutral")
ODYSSEY = {
    "model_type": "ser",
    "architectures": ["SERModel"],
    "auto_map": {"AutoModelForAudioClassification": "pipeline_utils.SERModel"},
    "ssl_type": "microsoft/wavlm-large",
    "hidden_size": 16,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "num_classes": 8,
    "classifier_hidden_layers": 1,
    "classifier_dropout_prob": 0.5,
    "sampling_rate": 16000,
    "maxlen": 192000,
    "mean": 0.01,
    "std": 0.08,
    "id2label": {str(number): name for number, name in enumerate(EMOTIONS)},
}
VOX_PROFILE = {
    "pretrain_model": "wavlm_large",
    "hidden_dim": 12,
    "finetune_method": "lora",
    "lora_rank": 2,
    "freeze_params": False,
    "output_class_num": 9,
    "use_conv_output": True,
    "detailed_class_num": 17,
}
RECIPE = """\
HPARAMS_NEEDED: ["encoder_dim", "out_n_neurons", "label_encoder", "softmax"]
wav2vec2_hub: facebook/wav2vec2-base
encoder_dim: 16
wav2vec2: !new:speechbrain.lobes.models.huggingface_wav2vec.HuggingFaceWav2Vec2
    source: !ref <wav2vec2_hub>
    output_norm: True
    freeze: True
avg_pool: !new:speechbrain.nnet.pooling.StatisticsPooling
    return_std: False
output_mlp: !new:speechbrain.nnet.linear.Linear
    input_size: !ref <encoder_dim>
    bias: False
model: !new:torch.nn.ModuleList
    - [!ref <output_mlp>]
"""


@cache
def weights(network, encoder, layout, prefix):
    """Return the weights of a network by its authors' names, as safetensors takes them."""
    tensors = to_tensors(noisy(lambda rngs: network(encoder, layout, rngs=rngs)))
    return {key.replace("speech_encoder.", prefix, 1): value.copy(order="C") for key, value in tensors.items()}


def describe(folder, encoder, config=None):
    """Write config.json, and the encoder's layout, which is none that has a name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "encoder_config.json").write_text(json.dumps(encoder.to_dict()))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))


def odyssey(folder, drop=(), **config):
    """Write one of the baselines of Odyssey."""
    config = ODYSSEY | config
    layout = OdysseyLayout(config["num_classes"], config["classifier_hidden_layers"], 0.0, 1.0)
    tensors = weights(OdysseyClassifier, WAVLM, layout, "ssl_model.")
    describe(folder, WAVLM, config)
    save_file({key: value for key, value in tensors.items() if key not in drop}, folder / "model.safetensors")
    return folder


def vox_profile(folder, encoder=WAVLM, states="sum", emotions=9, dimensions=True, extra=None, **config):
    """Write one of the emotion models of Vox-Profile."""
    layout = VoxProfileLayout(12, emotions, dimensions, states, normalize=True)
    whisper = {"pretrain_model": "whisper_large"} if encoder is WHISPER else {}
    describe(folder, encoder, VOX_PROFILE | whisper | config)
    tensors = weights(VoxProfileClassifier, encoder, layout, "backbone_model.")
    save_file(tensors | (extra or {}), folder / "model.safetensors")
    return folder


def speechbrain(folder, recipe=RECIPE, labels="'neu' => 0\n'ang' => 1\n'hap' => 2\n'sad' => 3\n"):
    """Write SpeechBrain's emotion recognition."""
    layout = SpeechBrainLayout(4, bias=False, normalize=True, output_norm=True)
    tensors = dict(weights(SpeechBrainClassifier, WAV2VEC2, layout, "model."))
    describe(folder, WAV2VEC2)
    (folder / "hyperparams.yaml").write_text(recipe)
    (folder / "label_encoder.txt").write_text(f"{labels}================\n'starting_index' => 0\n")
    write_state(folder / "model.ckpt", {"0.w.weight": tensors.pop("output_mlp.w.weight")})
    write_state(folder / "wav2vec2.ckpt", tensors)
    return folder
