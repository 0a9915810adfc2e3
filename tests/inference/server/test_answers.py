"""Answers for decoded recordings, whose logits come from elsewhere."""

import asyncio
import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest
from served import sound

from serjax.inference.load import load
from serjax.inference.server.answers import Batched, answer_clip, answer_timeline, verbose
from serjax.inference.server.decoder import decode_bytes
from serjax.runtime.errors import UserError


@pytest.fixture(scope="module")
def ensemble(run_folder):
    return load(run_folder)


def decoded(folder, **made):
    return decode_bytes(sound(**made), folder, 1000, apart=True)


def test_a_clip_is_answered_as_the_ensemble_does(ensemble, tmp_path):
    for seconds in (0.3, 1.7):
        path = tmp_path / "clip.wav"
        path.write_bytes(sound(seconds=seconds))
        found = answer_clip(ensemble, decoded(tmp_path, seconds=seconds))
        sample = ensemble.read(path)
        scores, doubts = ensemble.answers([sample])
        assert {one["label"]: one["score"] for one in found.scores} == pytest.approx(
            dict(zip(ensemble.labels, scores[0].tolist(), strict=True)), abs=1e-6
        )
        assert found.uncertainty == pytest.approx(float(doubts[0]), abs=1e-6)
        assert (found.windows, found.seconds) == (len(ensemble.windows(sample)), seconds)


def test_scores_that_are_not_finite_are_an_error(ensemble, tmp_path, monkeypatch):
    monkeypatch.setattr(ensemble, "logits", lambda waves, _=None: np.full((len(waves), 2, 3), np.nan, np.float32))
    with pytest.raises(UserError, match="not finite"):
        answer_clip(ensemble, decoded(tmp_path))


def test_threads_ask_the_batcher_until_nobody_waits(ensemble):
    class Batcher:
        async def logits(self, waves):
            return np.zeros((len(waves), 2, 3), np.float32)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        batched = Batched(ensemble, Batcher(), loop)
        assert batched.labels == ensemble.labels
        assert batched.logits([np.zeros(8_000, np.float32)] * 3, 8_000).shape == (3, 2, 3)
        batched.ended.set()
        with pytest.raises(CancelledError):
            batched.logits([np.zeros(8_000, np.float32)])
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_an_answer_has_the_shape_of_openai_and_its_own(ensemble, tmp_path):
    whole = decoded(tmp_path, seconds=1.2, channels=2)
    timeline, notes = answer_timeline(ensemble, whole, None, 0.5, "separate")
    found = verbose(answer_clip(ensemble, whole), timeline, notes)
    assert found["text"] == found["scores"][0]["label"]
    assert found["notes"] == []
    assert [row["channel"] for row in found["windows"][:2]] == ["left", "right"]
    for segment in found["segments"]:
        assert segment["avg_logprob"] == pytest.approx(np.log(segment["score"]))
        assert segment["text"] == segment["label"]
