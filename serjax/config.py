"""The experiment: frozen dataclasses, overridden from the command line, stored as JSON with the run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import pydantic

from serjax.audio_visual import FusionConfig, VideoConfig, WarmStart
from serjax.errors import UserError

DType = Literal["float32", "bfloat16"]
"""What models compute in; weights are stored, and trained, in float32."""

Activity = Literal["none", "energy", "silero"]
"""How silence is left out of a clip."""

EncoderFamily = Literal["hubert", "wav2vec2", "wavlm"]
"""Self-supervised encoders."""
Family = Literal[
    "hubert", "wav2vec2", "wavlm", "efficientnet", "audio_cnn", "audio_resnet18", "bilstm", "video", "fusion"
]
"""All models."""

SAMPLE_RATE = 16_000
"""Hz. Every clip is decoded to this rate: it is what all published speech encoders were trained at."""


@dataclass(frozen=True)
class DataConfig:
    """Where the recordings are and how a clip becomes an input."""

    root: str = ""
    """Folder of recordings, or a list file (.tsv, .txt, .scp, .csv, .jsonl). Empty with corpus=synthetic."""
    corpus: Literal[
        "auto", "folder", "ravdess", "emodb", "cremad", "iemocap", "tsv", "scp", "csv", "jsonl", "synthetic"
    ] = "auto"
    """How root is read. auto looks at names of files and folders: RAVDESS, EMO-DB, CREMA-D, IEMOCAP (four classes),
    else a folder a class, or a list by its suffix."""
    audio_root: str | None = None
    """Where relative paths of a list start; by default the folder that holds the list."""
    label_map: str | None = None
    """JSON file that maps a corpus's labels to the experiment's ({"exc": "happy"}); unmapped labels are an error."""
    labels: tuple[str, ...] | None = None
    """Use only clips with these labels, in this order of classes; by default all labels, sorted."""
    speaker_pattern: str | None = None
    """Regular expression on the clip's path below root; its group `speaker` names the speaker."""
    seconds: float = 3.0
    """Length in s of a training crop, and the longest stretch that evaluation and prediction look at."""
    eval_crop: Literal["head", "centre"] = "head"
    """Which part of a longer clip evaluation and prediction see."""
    skip_bad: bool = False
    """Skip unreadable, empty, too short or NaN clips with a list of them, instead of stopping before training."""
    cache: str | None = None
    """Folder of decoded clips and of a frozen trunk's features; by default beside the run folder."""
    activity: Activity = "none"
    """Leave out silence when clips are decoded: by energy, or by the network of silero-vad (packages silero-vad,
    onnxruntime)."""
    level: float | None = None
    """Bring each crop to this RMS level in dB (0 is full scale), as the network's input."""
    fill: Literal["zeros", "repeat"] = "zeros"
    """What follows a clip that is shorter than `seconds`, where a network takes inputs of one length: nothing, or the
    clip again."""
    window: float | None = None
    """bilstm: read the hand-made values of windows of so many s, each half a window after the one before, in turn; by
    default those of the whole input at once."""
    max_clips: int | None = None
    """Use only this many clips, an even share of every class (for a quick look)."""


@dataclass(frozen=True)
class FoldsConfig:
    """How clips are divided into folds."""

    kind: Literal[
        "auto",
        "stratified",
        "speaker",
        "leave_speaker_out",
        "leave_session_out",
        "split",
        "split_speakers",
        "speaker_groups",
        "every_tenth",
        "files",
    ] = "auto"
    """auto: by speaker where every clip names one, else stratified by label. split, split_speakers and every_tenth (of
    a class is tested) make one fold."""
    count: int = 5
    """Number of folds (stratified, speaker)."""
    path: str | None = None
    """kind=files: a folds.json of an earlier run, or a folder in EmoBox's layout of fold_N."""
    split: tuple[float, float] = (0.7, 0.15)
    """kind=split: shares of every class for training and validation; the rest is tested."""
    validation_speakers: tuple[str, ...] = ()
    """kind=split_speakers: who is validated on; by default a share of the others, as in any fold."""
    test_speakers: tuple[str, ...] = ()
    """kind=split_speakers: who is tested on."""
    groups: tuple[str, ...] = ()
    """kind=speaker_groups: for each fold the speakers that it tests, separated by commas, such as 01,11,20,21."""
    only: tuple[int, ...] | None = None
    """Train only these folds, counted from 1; their numbers are the same as with all of them."""
    validation: Literal["train", "test"] = "train"
    """Early stopping watches clips held out of the training part, or (as many notebooks do) the test fold itself."""
    validation_share: float = 0.2
    """Share of the training part's clips (of its speakers where they are known) that is held out for validation."""
    allow_speaker_overlap: bool = False
    """Accept folds in which a speaker stands on both sides; the report says so."""
    together: Literal["auto", "yes", "no"] = "auto"
    """Train all folds in one vmapped step, or one after the other; auto knows what is faster where, and says so."""


@dataclass(frozen=True)
class ModelConfig:
    """Encoder, pooling and head."""

    family: Family = "hubert"
    """Which encoder to build when `size` is given (a checkpoint says it itself), or a network on spectrograms
    (efficientnet, audio_cnn, audio_resnet18), on 312 hand-made values (bilstm), on video, or on sound and video
    (fusion)."""
    checkpoint: str | None = None
    """Hugging Face directory or hub id of pretrained weights."""
    size: Literal["tiny", "small", "base", "large"] | None = None
    """Start from random weights of this size; wins over `checkpoint`."""
    pooling: Literal["mean", "stat", "attentive", "tanh_attention"] = "attentive"
    """Over frames: mean, mean and standard deviation, or a mean with weights that are learned: softmax over time of two
    layers (attentive) or of tanh(x . w) (tanh_attention)."""
    attention_size: int = 128
    """Width of attentive pooling's hidden layer."""
    head: Literal["layernorm_gelu", "layernorm_relu", "relu", "linear"] = "layernorm_relu"
    """LayerNorm, Linear, GELU or ReLU, Dropout, Linear; relu: the same without LayerNorm; or one Linear layer."""
    head_size: int = 256
    """Width of the head's hidden layer."""
    dropout: float = 0.1
    """Dropout in the head."""
    final_dropout: float = 0.0
    """Dropout on the hidden states that are pooled."""
    weighted_layers: bool = False
    """Learn a softmax-weighted sum of the hidden states of all layers; otherwise the last layer is used."""
    freeze: Literal["auto", "nothing", "cnn", "layers", "trunk"] = "auto"
    """Frozen parts get no gradient and no dropout. auto: the CNN of a checkpoint, nothing of random weights. trunk:
    clips are encoded once and only heads are trained."""
    frozen_layers: int = 0
    """freeze=layers: the CNN and this many transformer layers from the bottom are frozen."""
    mask_time_prob: float | None = None
    """SpecAugment over time: share of frames masked in training; by default the checkpoint's own."""
    mask_feature_prob: float | None = None
    """SpecAugment over features: share of features masked in training; by default the checkpoint's own."""
    layerdrop: float | None = None
    """Probability to skip a transformer layer in training; by default the checkpoint's own."""
    padding: Literal["exact", "transformers"] = "exact"
    """exact: padding changes nothing. transformers: group norm sees the padding, and where the checkpoint's
    preprocessor_config.json has no mask, so does all the rest, as `transformers` computes it."""
    remat: bool = False
    """Recompute transformer layers in the backward pass: less memory, about a third more time."""
    dtype: DType = "float32"
    """What the forward and backward pass compute in; weights and optimizer stay float32."""

    @property
    def frozen(self) -> Literal["nothing", "cnn", "layers", "trunk"]:
        """What is frozen, with auto resolved."""
        if self.freeze != "auto":
            return self.freeze
        return "cnn" if self.size is None and self.is_encoder else "nothing"

    @property
    def is_encoder(self) -> bool:
        """Whether the model is an encoder with a head, and no network on features of its own making."""
        return self.family in get_args(EncoderFamily)

    @property
    def sees(self) -> bool:
        """Whether the model looks at video."""
        return self.family in ("video", "fusion")

    @property
    def hears(self) -> bool:
        """Whether the model listens to sound."""
        return self.family != "video"


@dataclass(frozen=True)
class AugmentConfig:
    """What training does to its clips, drawn anew for each clip and epoch."""

    speeds: tuple[float, ...] = ()
    """Factors of speed (and pitch), each as likely."""
    gain: float = 0.0
    """Gain from minus to plus so many dB."""
    gain_p: float = 0.0
    """Probability of gain."""
    noise: str | None = None
    """Folder of noise recordings; without one, noise is Gaussian."""
    noise_snr: tuple[float, float] = (10.0, 50.0)
    """Signal-to-noise ratio in dB, drawn evenly from this range."""
    noise_p: float = 0.0
    """Probability of noise."""
    noise_levels: tuple[tuple[float, float], ...] = ()
    """In place of a range: pairs of a probability and its signal-to-noise ratio in dB; the rest stays clean."""
    rooms: str | None = None
    """Folder of room impulse responses."""
    rooms_p: float = 0.0
    """Probability of a room."""
    mixup: float = 0.0
    """Mix each clip and its label with another's, with a share drawn from Beta(mixup, mixup); 0 for never."""
    mixup_of: Literal["waves", "features"] = "waves"
    """What is mixed: what is heard, or the spectrograms or hand-made values that a network sees."""
    mel_masks: int = 0
    """SpecAugment on spectrograms: stripes over frequency that are hidden."""
    mel_width: int = 20
    """Widest such stripe, in mels."""
    time_masks: int = 0
    """Stripes over time that are hidden."""
    time_width: int = 40
    """Widest such stripe, in frames."""
    mask_p: float = 0.5
    """Probability that a clip is masked at all."""


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW and its schedule."""

    schedule: Literal["onecycle", "cosine", "linear", "constant"] = "onecycle"
    """onecycle as PyTorch defines it; cosine and linear rise for `warmup` of the steps, then fall to `min_lr`."""
    max_lr: float | None = None
    """Peak learning rate; by default 5e-5 for a pretrained trunk, 1e-3 from random weights or for heads alone."""
    min_lr: float = 0.0
    """Where cosine and linear end."""
    warmup: float = 0.3
    """Share of the steps in which the rate rises (OneCycle's pct_start)."""
    weight_decay: float = 0.01
    """Decoupled weight decay of AdamW; never on norms and biases."""
    beta1: float = 0.9
    """AdamW's first beta; OneCycle moves it between 0.95 and 0.85 instead."""
    beta2: float = 0.999
    """AdamW's second beta."""
    epsilon: float = 1e-8
    """AdamW's epsilon."""
    clip_norm: float | None = 1.0
    """Gradients are scaled down to this global norm."""
    groups: tuple[tuple[str, float], ...] = ()
    """(regular expression, factor) pairs: a parameter's rate is multiplied by the factor of the first full match."""


@dataclass(frozen=True)
class TrainConfig:
    """How long, in what batches, against what loss."""

    epochs: int = 30
    """Passes over the training clips, at most."""
    batch_size: int = 16
    """Clips a step and fold."""
    accumulate: int = 1
    """Split each batch into this many parts and add up their gradients: less memory, the same result."""
    head_epochs: int = 0
    """Two stages: first train heads alone on the frozen trunk for at most this many epochs, then what `model.freeze`
    leaves, from each fold's best head."""
    head_lr: float = 1e-3
    """Peak learning rate of the first stage."""
    patience: int = 10
    """Stop a fold after this many epochs without a better validation macro-F1."""
    keep: Literal["best", "last"] = "best"
    """Which epoch's model is kept: the one with the highest validation macro-F1, or, where few speakers validate and
    the best epoch is luck, the last of all `epochs`."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes."""
    balance: Literal["nothing", "weights", "sampling"] = "nothing"
    """Against unequal classes: weigh the loss, or draw clips, by inverse class frequency."""
    learning_rates: tuple[float, ...] = ()
    """Train every fold with each of these peak rates, side by side; validation chooses, fold by fold."""
    seeds: int = 1
    """Train every fold with this many seeds, side by side; the report gives mean and spread."""


@dataclass(frozen=True)
class SearchConfig:
    """Values to try, in every combination, each in a run of its own; nothing is tried where all are left out."""

    seed: tuple[int, ...] = ()
    """Seeds of the whole experiment: other folds, weights and order."""
    d_model: tuple[int, ...] = ()
    """fusion.d_model."""
    heads: tuple[int, ...] = ()
    """fusion.heads."""
    dropout: tuple[float, ...] = ()
    """fusion.dropout."""
    stochastic_depth: tuple[float, ...] = ()
    """fusion.stochastic_depth."""
    label_smoothing: tuple[float, ...] = ()
    """train.label_smoothing."""


@dataclass(frozen=True)
class Experiment:
    """Everything that decides a run's numbers."""

    name: str
    """Name of the run folder."""
    data: DataConfig = field(default_factory=DataConfig)
    folds: FoldsConfig = field(default_factory=FoldsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    warm_start: WarmStart = field(default_factory=WarmStart)
    search: SearchConfig = field(default_factory=SearchConfig)
    stages: Literal["auto", "one", "two"] = "auto"
    """two: first train what is no encoder, for train.head_epochs (or 10), then what the rest of the experiment says.
    auto: two where train.head_epochs is given."""
    seed: int = 0
    """Decides folds, initial weights, order, crops, masks and dropout."""
    out: str = "checkpoints"
    """Folder in which the run folder is made."""
    overwrite: bool = False
    """Delete what a finished run, or one of another experiment, left under this name, and start again."""

    @property
    def needs(self) -> frozenset[str]:
        """Which of sound and video the model cannot do without."""
        if self.model.family == "fusion":
            return frozenset() if self.fusion.copes else frozenset({"sound", "video"})
        return frozenset({"video" if self.model.sees else "sound"})

    @property
    def first_epochs(self) -> int:
        """Epochs of the first of two stages; 0 where there is one."""
        epochs = self.train.head_epochs
        return {"auto": epochs, "one": 0, "two": epochs or 10}[self.stages]

    @property
    def run_dir(self) -> Path:
        """The run folder, absolute."""
        return (Path(self.out) / self.name).absolute()


def to_json(experiment: Any) -> str:
    """Return an experiment, or other nested dataclasses, as JSON from which `from_json` rebuilds it."""
    return pydantic.TypeAdapter(type(experiment)).dump_json(experiment, indent=2).decode()


def from_json(text: str, source: str) -> Experiment:
    """Rebuild an experiment; `source` names the file in a `UserError` for what does not fit."""
    try:
        return pydantic.TypeAdapter(Experiment).validate_json(text, extra="forbid")
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(
            f"{source}: {key} does not fit this version of serjax ({first['msg']}); correct the value or train again."
        ) from None
