"""A step of masked prediction beside the same step with transformers' HubertModel in PyTorch, from the same weights.

    python benchmarks/masked_prediction.py [--sizes base small --seconds 87.5 --clip 5 --rounds 5 --dtypes float32]

Both take clips of noise of one length, as much audio as a batch has, mask spans (0.8, 10 frames), and make an AdamW
update (fused in PyTorch) of loss plus 10 x penalty, clipped at 10; dropout is on. Masks are drawn anew in each step, on
the device here and by transformers' own function there. PyTorch computes logits of masked frames alone, as fairseq
does. Every side is a process of its own. First the losses of one batch with one mask and no dropout are compared, which
must agree. Runs on a GPU where both find one. Needs the extra `bench`.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np

from serjax.audio import SAMPLE_RATE
from serjax.training.config import MaskedConfig

CASES = {"CNN frozen": 0.0, "CNN trained": 1.0}
CLUSTERS = 500
CONFIG = MaskedConfig()
Calls = dict[str, harness.Call]


def batch(seconds: float, clip: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return waves, a label a frame, and a mask that is the same for all sides."""
    rng = np.random.default_rng(0)
    samples = round(clip * SAMPLE_RATE)
    count = (samples - 400) // 320 + 1
    rows = max(1, int(seconds / clip))
    wave = rng.normal(0, 1, (rows, samples)).astype(np.float32)
    return (
        wave,
        rng.integers(0, CLUSTERS, (rows, count)),
        np.repeat(rng.random((rows, count // 5 + 1)) < 0.5, 5, 1)[:, :count],
    )


def torch_side(folder: Path, inputs: Any, dtype: str) -> Calls:
    """Return PyTorch's cases."""
    import torch
    import transformers
    from transformers.models.hubert.modeling_hubert import _compute_mask_indices

    device = "cuda" if torch.cuda.is_available() else "cpu"
    tensors = [torch.from_numpy(array).to(device) for array in inputs]
    saved = np.load(folder / "head.npz")

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = transformers.HubertModel.from_pretrained(folder)
            self.final_proj = torch.nn.Linear(self.encoder.config.hidden_size, CONFIG.projection)
            self.codes = torch.nn.Parameter(torch.from_numpy(saved["codes"]))
            with torch.no_grad():
                self.final_proj.weight.copy_(torch.from_numpy(saved["kernel"].T))
                self.final_proj.bias.zero_()

        def forward(self, wave: Any, label: Any, mask: Any, mult: float) -> Any:
            with torch.set_grad_enabled(mult > 0 and torch.is_grad_enabled()):
                features = self.encoder.feature_extractor(wave)
            penalty = features.float().pow(2).mean()
            hidden = self.encoder.feature_projection(features.transpose(1, 2))
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            hidden = torch.where(mask[:, :, None], self.encoder.masked_spec_embed.to(hidden.dtype), hidden)
            x = self.final_proj(self.encoder.encoder(hidden).last_hidden_state[mask]).float()
            unit = torch.nn.functional.normalize
            logits = unit(x, dim=-1) @ unit(self.codes, dim=-1).T / CONFIG.temperature
            loss = torch.nn.functional.cross_entropy(logits, label[mask])
            return loss + CONFIG.feature_penalty * penalty

    def loss() -> float:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            return float(Network().to(device).eval()(*tensors, 0.0))

    def training(mult: float) -> Callable[[], Any]:
        kept: dict[str, Any] = {}

        def step() -> None:
            if not kept:
                model = kept["model"] = Network().to(device).train()
                if mult == 0:
                    model.encoder.feature_extractor.requires_grad_(False)
                trained = [value for value in model.parameters() if value.requires_grad]
                adam = CONFIG.optimizer
                kept["adam"] = torch.optim.AdamW(
                    trained, lr=1e-5, betas=(adam.beta1, adam.beta2), eps=adam.epsilon, weight_decay=0.01, fused=True
                )
            wave, label, mask = tensors
            drawn = _compute_mask_indices(tuple(mask.shape), CONFIG.mask_prob, CONFIG.mask_length, min_masks=2)
            with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
                value = kept["model"](wave, label, torch.from_numpy(drawn).to(device), mult)
            kept["adam"].zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(kept["model"].parameters(), CONFIG.optimizer.clip_norm)
            kept["adam"].step()
            if device == "cuda":
                torch.cuda.synchronize()

        return step

    return {"loss": loss, **{name: training(mult) for name, mult in CASES.items()}}


def serjax_side(folder: Path, inputs: Any, dtype: str) -> Calls:
    """Return serjax's cases."""
    from dataclasses import replace

    import jax
    import jax.numpy as jnp
    from flax import nnx

    from serjax import cli
    from serjax.checkpoints.huggingface import load_encoder
    from serjax.models.functional import flat, merge
    from serjax.training.fold_axis import fold_axis
    from serjax.training.initialize import first_states
    from serjax.training.masked_prediction import Counts, FrameBatch, MaskedPrediction, Part
    from serjax.training.pretrain_loop import set_up

    cli.compilation_cache()
    encoder = load_encoder(str(folder)).encoder
    saved = np.load(folder / "head.npz")
    given = {f"speech_encoder.{name}": leaf for name, leaf in flat(nnx.state(encoder, nnx.Param)).items()}
    given |= {"final_proj.kernel": jnp.asarray(saved["kernel"]), "label_embeddings": jnp.asarray(saved["codes"])}
    axis = fold_axis(1, 1, together=True, devices=jax.devices()[:1])
    wave, label, mask = inputs
    frames = FrameBatch(wave, np.full(len(wave), wave.shape[1], np.int32), label.astype(np.int32))
    placed = axis.feed(jax.tree.map(lambda x: x[None], frames))

    def prepared(mult: float) -> Any:
        config = replace(CONFIG, feature_grad_mult=mult, dtype=dtype)
        keys = jax.random.split(jax.random.key(0), 1)
        return config, set_up(config, encoder.config, CLUSTERS, normalize=False, keys=keys, axis=axis, given=given)

    def loss() -> float:
        config, setup = prepared(0.0)
        objective = MaskedPrediction(config, encoder.config)
        part = jax.tree.map(jnp.asarray, Part(frames, mask))
        counts = Counts(jnp.array(mask.sum()), jnp.array((~mask).sum()))

        def evaluated(params: Any, frozen: Any) -> Any:
            return objective.loss(merge(setup.graphdef, params, frozen, dtype), part, counts, None)[0]

        return float(jax.jit(evaluated)(axis.first(setup.params), setup.frozen))

    def training(mult: float) -> Callable[[], Any]:
        kept: list[Any] = []

        def step() -> None:
            if not kept:
                _, setup = prepared(mult)
                kept.extend([setup, first_states(setup.params, setup.optimizer, axis)])
            setup, state = kept
            kept[1], told = setup.step(np.ones(1, bool), state, placed, setup.keys, setup.frozen)
            jax.block_until_ready((kept[1], told))

        return step

    return {"loss": loss, **{name: training(mult) for name, mult in CASES.items()}}


SIDES: dict[str, Callable[..., Calls]] = {"serjax": serjax_side, "PyTorch": torch_side}


def write_weights(folder: Path, size: Any) -> None:
    """Write a checkpoint and a head with random weights that both sides load."""
    from flax import nnx

    from serjax.checkpoints.huggingface import save_pretrained
    from serjax.checkpoints.preprocessor import Preprocessor
    from serjax.models.encoders.config import preset
    from serjax.models.encoders.masked_prediction import MaskedPredictor

    model = MaskedPredictor(preset("hubert", size), CLUSTERS, projection=CONFIG.projection, rngs=nnx.Rngs(0))
    save_pretrained(model.speech_encoder, folder, preprocessor=Preprocessor())
    np.savez(folder / "head.npz", kernel=model.final_proj.kernel[...], codes=model.label_embeddings[...])


def measure(size: str, dtype: str, names: list[str], options: Any) -> tuple[harness.Values, str]:
    """Return the seconds of a step, and a sentence on the losses."""
    inputs = batch(options.seconds, options.clip)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_weights(folder, size)
        makers = {side: (SIDES[side], folder, inputs, dtype) for side in names}
        with harness.processes(makers) as sides:
            losses = {side.name: side.ask("loss") for side in sides}
            turns = harness.turns_of(sides, options.cases, options.turn)
            values = harness.in_turns(turns, options.rounds)
    told = ", ".join(f"{loss:.5f} with {side}" for side, loss in losses.items())
    found = {f"{size}, {dtype}, {case}": by for case, by in values.items()}
    return found, f"{size}, {dtype}: the loss of one batch is {told}."


def main() -> None:
    """Measure and publish."""
    parser = harness.parser(__doc__, rounds=5, turn=2)
    parser.add_argument("--sizes", nargs="+", default=["base", "small"])
    parser.add_argument("--dtypes", nargs="+", default=["float32"])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--seconds", type=float, default=40.0, help="audio of a batch")
    parser.add_argument("--clip", type=float, default=5.0, help="length of its clips")
    options = parser.parse_args()
    names, told = harness.installed({"serjax": [], "PyTorch": ["torch", "transformers"]})
    values: harness.Values = {}
    for size in options.sizes:
        for dtype in options.dtypes:
            found, losses = measure(size, dtype, names, options)
            values |= found
            told.append(losses)
    wave, _, _ = batch(options.seconds, options.clip)
    audio = f"A step takes {wave.size / SAMPLE_RATE:g} s of audio, in clips of {options.clip:g} s."
    harness.publish([audio, harness.comparison(values), *told], options, ["torch", "transformers"])


if __name__ == "__main__":
    main()
