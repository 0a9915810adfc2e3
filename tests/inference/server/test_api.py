"""The API: answers are those of predict, in the shapes of Hugging Face and OpenAI, and errors are one sentence."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from served import in_base64, on_port, sound

from serjax.inference.files import answer
from serjax.inference.load import load
from serjax.inference.segments import segments

FORMATS = {"WAV": {}, "FLAC": {"rate": 22_050}, "OGG": {"rate": 48_000, "channels": 2}, "AIFF": {"seconds": 2.3}}


def predicted(folder, tmp_path, content):
    path = tmp_path / "clip.sound"
    path.write_bytes(content)
    (found,) = answer(load(folder), [path])
    return found


def assert_same(found, expected, tolerance=1e-5):
    assert [one["label"] for one in found] == [one["label"] for one in expected]
    np.testing.assert_allclose([one["score"] for one in found], [one["score"] for one in expected], atol=tolerance)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("path", ["/", "/models/tiny"])
def test_scores_are_those_of_predict(asked, run_folder, tmp_path, kind, path):
    content = sound(kind=kind, **FORMATS[kind])
    found = asked.post(path, content=content)
    assert found.status_code == 200, found.text
    assert_same(found.json(), predicted(run_folder, tmp_path, content).scores)


def test_scores_of_a_recording_of_more_than_a_minute_are_those_of_predict(asked, run_folder, tmp_path):
    content = sound(seconds=61, rate=8_000, channels=2, kind="FLAC")
    found = asked.post("/", content=content)
    assert_same(found.json(), predicted(run_folder, tmp_path, content).scores)


def test_json_takes_base64_and_top_k(asked):
    content = sound()
    whole = asked.post("/", content=content).json()
    body = {"inputs": in_base64(content), "parameters": {"top_k": 2, "function_to_apply": "softmax"}}
    assert_same(asked.post("/", json=body).json(), whole[:2])
    assert_same(asked.post("/?top_k=1", content=content).json(), whole[:1])


def test_the_client_of_hugging_face_works_unchanged(service_of, tmp_path):
    from huggingface_hub import InferenceClient

    path = tmp_path / "clip.flac"
    path.write_bytes(sound(kind="FLAC"))
    with on_port(service_of()) as url:
        client = InferenceClient(model=url)
        found = client.audio_classification(str(path))
        assert [one.label for one in client.audio_classification(str(path), top_k=2)] == [one.label for one in found][
            :2
        ]
        assert [one.label for one in client.audio_classification(path.read_bytes())] == [one.label for one in found]
    assert sum(one.score for one in found) == pytest.approx(1, abs=1e-5)
    assert {one.label for one in found} == {"angry", "happy", "sad"}


def transcribe(asked, content, **fields):
    return asked.post("/v1/audio/transcriptions", files={"file": ("clip.wav", content)}, data=fields)


def test_a_transcription_is_the_label(asked):
    content = sound()
    best = asked.post("/", content=content).json()[0]["label"]
    assert transcribe(asked, content, model="tiny").json() == {"text": best}


def test_a_verbose_transcription_carries_the_timeline(asked, run_folder, tmp_path):
    content = sound(seconds=2.2)
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    ensemble = load(run_folder)
    found = transcribe(asked, content, response_format="verbose_json", hop="0.25").json()
    timeline = ensemble.timeline(path, hop=0.25)
    assert [(row["start"], row["end"]) for row in found["windows"]] == [row[:2] for row in timeline.rows]
    scores = [[row["scores"][label] for label in timeline.labels] for row in found["windows"]]
    np.testing.assert_allclose(scores, [row.score for row in timeline.rows], atol=1e-5)
    own = segments(timeline)
    assert [(s["start"], s["end"], s["text"]) for s in found["segments"]] == [(s.start, s.end, s.label) for s in own]
    assert_same(found["scores"], predicted(run_folder, tmp_path, content).scores)
    assert (found["duration"], found["window"], found["hop"]) == (2.2, 0.5, 0.25)
    # Fields without which OpenAI's client refuses a segment.
    wanted = [
        "id",
        "seek",
        "start",
        "end",
        "text",
        "tokens",
        "temperature",
        "avg_logprob",
        "compression_ratio",
        "no_speech_prob",
    ]
    assert all(set(wanted) <= segment.keys() for segment in found["segments"])


def test_channels_are_answered_for_themselves(asked):
    found = transcribe(asked, sound(channels=2), response_format="verbose_json", channels="separate").json()
    assert {row["channel"] for row in found["windows"]} == {"left", "right"}
    assert {segment["channel"] for segment in found["segments"]} == {"left", "right"}


def test_fields_without_a_meaning_are_named(asked):
    found = transcribe(asked, sound(), response_format="verbose_json", language="en").json()
    assert found["notes"] == ["language: it has no meaning for this model, and is not used."]


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"response_format": "srt"}, 422, "response_format: got srt"),
        ({"stream": "true"}, 422, "answers do not come in parts"),
        ({"timestamp_granularities[]": "word"}, 422, "got words"),
        ({"model": "other"}, 404, "model: got other; this server has tiny"),
        ({"response_format": "verbose_json", "window": "9"}, 422, "window: got 9 s"),
        ({"hop": "0.25"}, 422, "hop: the answer in json has no windows; give response_format=verbose_json."),
        ({"response_format": "verbose_json", "hop": "x"}, 422, "hop: got x; give a number of seconds"),
        ({"response_format": "verbose_json", "channels": "both"}, 422, "channels: got both"),
    ],
)
def test_wrong_fields_get_a_sentence(asked, fields, status, sentence):
    found = transcribe(asked, sound(), **fields)
    assert found.status_code == status
    assert sentence in found.json()["error"]


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"top_k": 0}, "top_k: got 0"),
        ({"top_k": "x"}, "top_k: got x"),
        ({"top_k": 1.5}, "top_k: got 1.5"),
        ({"top_k": True}, "top_k: got True"),
        ({"function_to_apply": "sigmoid"}, "this model's scores are by softmax"),
    ],
)
def test_wrong_parameters_get_a_sentence(asked, parameters, sentence):
    found = asked.post("/", json={"inputs": in_base64(sound()), "parameters": parameters})
    assert found.status_code == 422
    assert sentence in found.json()["error"]


def header_alone():
    return sound(seconds=0)


BAD = {
    "empty": (b"", 422, "the recording is empty"),
    "header alone": (header_alone, 422, "no samples"),
    "text": (b"hello " * 1000, 422, "not a sound file"),
    "cut off": (lambda: sound(kind="FLAC")[:50], 422, "the recording"),
    "too short": (lambda: sound(seconds=0.01), 422, "receptive field"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_recordings_get_a_sentence(asked, name):
    content, status, sentence = BAD[name]
    found = asked.post("/", content=content() if callable(content) else content)
    assert found.status_code == status
    assert sentence in found.json()["error"]
    assert "/tmp" not in found.text


def test_samples_that_are_no_numbers_get_a_sentence(asked):
    file = io.BytesIO()
    soundfile.write(file, np.full(8_000, np.nan), 16_000, format="WAV", subtype="FLOAT")
    found = asked.post("/", content=file.getvalue())
    assert found.status_code == 422
    assert "NaN or infinite" in found.json()["error"]


def test_a_video_without_sound_gets_a_sentence(asked, film, tmp_path):
    path = film(tmp_path / "silent.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 5)
    found = asked.post("/", content=path.read_bytes())
    assert found.status_code == 422
    assert "the video has no sound" in found.json()["error"]


def test_the_sound_of_a_video_is_answered(asked, film, tmp_path, run_folder):
    path = film(tmp_path / "clip.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 5, tone=0.7)
    (expected,) = answer(load(run_folder), [path])
    assert_same(asked.post("/", content=path.read_bytes()).json(), expected.scores)


@pytest.mark.parametrize("inputs", ["/etc/passwd", "http://127.0.0.1/clip.wav", "file:///etc/passwd"])
def test_paths_and_urls_are_not_opened(asked, inputs):
    found = asked.post("/", json={"inputs": inputs})
    assert found.status_code == 422
    assert "Paths and URLs are not opened" in found.json()["error"]


def test_a_wrong_type_or_model_gets_a_sentence(asked):
    found = asked.post("/", content=b"<html>", headers={"Content-Type": "text/html"})
    assert (found.status_code, "Content-Type: got text/html" in found.json()["error"]) == (415, True)
    found = asked.post("/v1/audio/transcriptions", content=sound())
    assert (found.status_code, "send multipart/form-data" in found.json()["error"]) == (415, True)
    found = asked.post("/models/other", content=sound())
    assert (found.status_code, found.json()["error"]) == (404, "there is no model other; this server has tiny.")


def test_the_model_is_listed(asked):
    (found,) = asked.get("/v1/models").json()["data"]
    assert (found["id"], found["labels"], found["members"]) == ("tiny", ["angry", "happy", "sad"], 2)
    assert (found["window"], found["card"]) == (0.5, True)


def test_health_and_metrics_tell_of_the_server(asked):
    assert asked.get("/health").json() == {"status": "ready", "model": "tiny"}
    before = asked.get("/metrics").text
    asked.post("/", content=sound())
    asked.post("/", content=b"")
    after = asked.get("/metrics").text

    def value(text, line):
        return float(next((one for one in text.splitlines() if one.startswith(line)), "x 0").split()[-1])

    for line in ('serjax_requests_total{route="/",status="200"}', 'serjax_requests_total{route="/",status="422"}'):
        assert value(after, line) == value(before, line) + 1
    assert value(after, "serjax_ready") == 1


def test_a_server_that_warms_up_refuses(service_of):
    from starlette.testclient import TestClient

    from serjax.inference.server.app import make_app

    # Without its lifespan nothing warms up.
    asked = TestClient(make_app(service_of()), base_url="http://server")
    for found in (asked.get("/health"), asked.post("/", content=sound())):
        assert (found.status_code, found.headers["Retry-After"]) == (503, "5")
        assert "warming up" in found.json()["error"]


def test_without_the_packages_there_is_one_sentence(run_folder):
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from serjax.runtime.errors import UserError\n"
        "from serjax.serve import main\n"
        f"try:\n    main([{json.dumps(str(run_folder))}])\nexcept UserError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "Recordings are served by uvicorn, which is not installed; pip install 'serjax[serve]'.\n"
