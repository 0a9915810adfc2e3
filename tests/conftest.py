"""Shapes checked at run time, and one cache of compiled programs for the whole session, other processes included."""

import os
from importlib.metadata import version

# Nearly all time of small networks is XLA's; what they compute stays the same. Read when JAX is imported.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# It takes a third of that off. An XLA that does not know a flag ends its process, so only one gets it that is known to.
if os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1" and version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"

import gc
from fractions import Fraction
from functools import reduce
from operator import or_
from pathlib import Path
from types import FunctionType, UnionType
from typing import get_args, get_origin

import hypothesis
import jax
import numpy as np
import pytest
from beartype import beartype
from jaxtyping import AbstractArray, install_import_hook


def numpy_too(hint):
    """Return the annotation of an array with NumPy's beside JAX's, as JAX itself takes both."""
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return hint.dtype[jax.Array | np.ndarray, hint.dim_str] if hint.array_type is jax.Array else hint
    parts = tuple(map(numpy_too, get_args(hint)))
    if not parts or parts == get_args(hint):
        return hint
    return reduce(or_, parts) if isinstance(hint, UnionType) else get_origin(hint)[parts]


def checked(function):
    """Hold arguments and results to their annotations of shape and dtype; other annotations are mypy's."""
    arrays = {name: numpy_too(hint) for name, hint in function.__annotations__.items() if "jaxtyping" in repr(hint)}
    if not arrays:
        return function
    code = function.__code__
    copy = FunctionType(code, function.__globals__, code.co_name, function.__defaults__, function.__closure__)
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    copy.__kwdefaults__, copy.__annotations__ = function.__kwdefaults__, arrays
    return beartype(copy)


# Before anything imports serjax.
install_import_hook("serjax", f"{__name__}.checked")

hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    # The processes of pytest-xdist have folders side by side.
    base = tmp_path_factory.getbasetemp()
    folder = str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "xla")
    os.environ["SERJAX_CACHE"] = folder
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@pytest.fixture(scope="module", autouse=True)
def room_for_programs():
    """Let compiled programs go between files once there are many.

    Each takes parts of a process's memory map, of which Linux allows 65,530; at the next one the process is killed.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.is_file() and maps.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def tiny_encoder():
    """Layout of an encoder that is fast to run, whose frames begin and last as the published ones' do."""
    from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config

    return Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=(8, 8, 8),
        conv_kernel=(20, 15, 4),
        conv_stride=(10, 8, 4),
        num_conv_pos_embeddings=6,
        num_conv_pos_embedding_groups=4,
    )


@pytest.fixture
def stop_after_an_epoch(monkeypatch):
    """A function that makes a call until the first epoch is saved, then as if Ctrl-C was pressed."""

    def stop(call, *given):
        from serjax.training import resume
        from serjax.training.resume import ResumePoint

        save = ResumePoint.save

        def save_and_stop(self, epoch, tree):
            save(self, epoch, tree)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(ResumePoint, "save", save_and_stop)
            patch.setattr(resume, "SECONDS", 0.0)
            with pytest.raises(KeyboardInterrupt):
                call(*given)

    return stop


CODECS = {".mp4": ("libx264", "aac"), ".flv": ("flv1", "aac"), ".webm": ("libvpx", "libopus"), ".avi": ("mpeg4", "mp2")}


@pytest.fixture(scope="session")
def film():
    """A function that writes a video: pictures, shown at so many ms each, and a tone of so many s at 48 kHz.

    `pixel` is how wide its pixels are to be shown, over how high.
    """
    import av

    def write(path, pictures, times=None, *, tone=0.0, tone_at=0.0, rotation=0, bframes=0, pixel=None):
        times = range(0, 40 * len(pictures), 40) if times is None else times
        codec, sound_codec = CODECS[path.suffix]
        with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
            height, width = pictures[0].shape[:2] if len(pictures) else (64, 64)
            # AVI has no time stamps: its ticks are its frames.
            stream = container.add_stream(codec, rate=25 if path.suffix == ".avi" else 1_000)
            stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 2_000_000
            stream.codec_context.gop_size, stream.codec_context.max_b_frames = 10, bframes
            tick = Fraction(1, 25) if path.suffix == ".avi" else Fraction(1, 1_000)
            stream.codec_context.time_base = tick
            if pixel:
                stream.codec_context.sample_aspect_ratio = Fraction(pixel)
            if rotation:
                stream.set_display_rotation(rotation)
            if tone:
                voice = container.add_stream(sound_codec, rate=48_000, layout="stereo")
            for picture, time in zip(pictures, times, strict=True):
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts, frame.time_base = round(Fraction(time, 1_000) / tick), tick
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
            if tone:
                samples = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(tone * 48_000)) / 48_000)
                sound = np.stack([samples, samples]).astype(np.float32)
                frame = av.AudioFrame.from_ndarray(sound, "fltp", "stereo")
                frame.rate, frame.pts, frame.time_base = 48_000, round(tone_at * 48_000), Fraction(1, 48_000)
                container.mux(voice.encode(frame))
                container.mux(voice.encode())
        return path

    return write
