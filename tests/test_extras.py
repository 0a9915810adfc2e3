"""Without the extra `video`, sound is trained and asked as ever, and video gets one sentence."""

import subprocess
import sys

import numpy as np
import pytest

HIDE = "import sys; sys.modules['av'] = sys.modules['dlib'] = None\n"


def without_packages(code, *arguments):
    return subprocess.run([sys.executable, "-c", HIDE + code, *arguments], capture_output=True, text=True, check=False)


def test_sound_needs_neither_package():
    code = (
        "import serjax.runs.finetune, serjax.runs.evaluate, serjax.inference.files\n"
        "import serjax.data.store.video, serjax.data.corpora.pairs, serjax.data.corpora.synthetic.corpus\n"
        "print('fine')"
    )
    done = without_packages(code)
    assert done.stdout == "fine\n", done.stderr


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "from serjax.audio.decode import decode; decode(path)",
            "Videos, .m4a, .aac, .wma and .amr files are decoded by PyAV",
        ),
        (
            "from serjax.video.decode import read; read(path, 2)",
            "Videos, .m4a, .aac, .wma and .amr files are decoded by PyAV",
        ),
        (
            "from pathlib import Path\nfrom serjax.data.store.clips import open_store\n"
            "from serjax.data.utterance import Utterance\n"
            "open_store([Utterance('a', Path(path), 'x')], Path(path).parent / 'store', skip_bad=True)",
            "Videos, .m4a, .aac, .wma and .amr files are decoded by PyAV",
        ),
        ("import serjax.video.faces", "Faces are found by dlib"),
    ],
)
def test_video_gets_one_sentence(film, tmp_path, code, message):
    path = film(tmp_path / "clip.mp4", np.full((2, 48, 48, 3), 60, np.uint8), tone=0.5)
    code = code.replace("\n", "\n    ")
    done = without_packages(
        f"path = sys.argv[1]\nfrom serjax.runtime.errors import UserError\n"
        f"try:\n    {code}\nexcept UserError as error:\n    print(error)",
        str(path),
    )
    assert done.stdout == f"{message}, which is not installed; pip install 'serjax[video]'.\n", done.stderr
