"""Run folders as training leaves them, but with random weights: nothing is trained, and all is small."""

from dataclasses import replace

from flax import nnx
from noise import noisy

from serjax.checkpoints.calibration import write_calibration
from serjax.checkpoints.run_models import RunModels, save_models
from serjax.evaluation.calibration_report import Calibration, MemberCalibration
from serjax.models.base import EncoderLayout, Resolution
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.speech import Speech

ENCODER = Wav2Vec2Config(
    model_type="wav2vec2",
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    conv_dim=(8, 8, 8),
    conv_stride=(5, 8, 8),
    conv_kernel=(10, 8, 8),
    num_conv_pos_embeddings=4,
    num_conv_pos_embedding_groups=2,
)
LAYOUT = EncoderLayout(ENCODER, normalize=True)


def layout_with(**changes):
    """Return the layout with changes of the encoder's configuration."""
    return replace(LAYOUT, config=replace(ENCODER, **changes))


SPEECH = Speech(pooling="mean", head="linear", freeze="nothing")
LABELS = ("angry", "happy", "sad")


def write_run(
    folder,
    model=SPEECH,
    *,
    folds=(1, 2),
    max_seconds=0.5,
    eval_crop="head",
    highpass=None,
    calibration=(),
    layout=LAYOUT,
):
    """Write a finished run's models; return the members by number of the fold, and the resolved settings.

    `calibration` is, for each fold, a temperature and scores of nonconformity.
    """
    model = model.resolved(Resolution(max_seconds, layout, 4))
    members = {fold: noisy(lambda rngs: model.build(len(LABELS), rngs=rngs), fold) for fold in folds}
    first = members[folds[0]]
    for member in members.values():
        # What is frozen is common to all folds.
        frozen = [(p, v) for p, v in nnx.to_flat_state(nnx.state(first)) if not model.trainable(p)]
        nnx.update(member, nnx.from_flat_state(frozen))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.json").write_text("{}")
    settings = RunModels(LABELS, tuple(folds), model, max_seconds, eval_crop, "none", highpass=highpass)
    save_models(folder, settings, members)
    if calibration:
        own = zip(folds, calibration, strict=True)
        write_calibration(folder, Calibration(tuple(MemberCalibration(fold, 0, *given) for fold, given in own)))
    return members, model


FROZEN = replace(SPEECH, freeze="encoder")
CUT = replace(SPEECH, freeze="cnn")
