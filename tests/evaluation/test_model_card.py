"""The model card holds every score and every warning, and the hub can read it."""

import pytest
from huggingface_hub import ModelCard

from serjax.evaluation.metrics import METRICS
from serjax.evaluation.model_card import model_card
from serjax.evaluation.tables import mean_and_std, percent
from serjax.models.spectrogram import Functionals

CASES = [{}, {"folds": 1, "known": False}, {"seeds": 2, "rates": (0.001, 0.01), "validation": "test"}]


@pytest.mark.parametrize("case", CASES)
def test_every_score_is_there(make_run, case):
    report = make_run(**case).report
    card = model_card(report)
    rows = {
        line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]]
        for line in card.splitlines()
        if "|" in line
    }
    for fold in report["folds"]:
        assert rows[str(fold["fold"])][-3:] == [percent(fold[metric]) for metric in METRICS]
    for row in report["classes"]:
        scores = [percent(row[name]) for name in ("precision", "recall", "f1")]
        assert rows[row["label"]] == [str(row["support"]), *scores]
    for scored in filter(None, (report, report["last_epoch"])):
        for metric in METRICS:
            whole = scored["out_of_fold"][metric]
            assert f"| {percent(whole['score'])} " in card
            assert f"| {percent(whole['low'])}-{percent(whole['high'])} " in card
            assert f"| {mean_and_std(scored['over_folds'][metric])} " in card
    if report["seeds"]:
        assert rows["2 seeds"][-3:] == [mean_and_std(report["seeds"][metric]) for metric in METRICS]
    assert rows["chance"][-3:-1] == [percent(report["chance"]["wa"]), percent(report["chance"]["ua"])]


def test_the_hub_reads_its_front_matter(make_run):
    report = make_run(corpus='A corpus: "odd" name').report
    data = ModelCard(model_card(report)).data
    assert data.library_name == "serjax"
    assert data.license is None
    assert data.model_name == "little_run"
    found = {(result.dataset_name, result.metric_type): result.metric_value for result in data.eval_results}
    ua = report["out_of_fold"]["ua"]["score"]
    assert found['A corpus: "odd" name', "recall"] == pytest.approx(ua, abs=1e-4)
    assert len(found) == 3


@pytest.mark.parametrize("case", CASES)
def test_every_warning_is_there(make_run, case):
    report = make_run(**case, corpus_notes=("Recordings are synthetic.",)).report
    card = model_card(report)
    assert all(f"- {note}\n" in card for note in report["notes"])
    assert "Recordings are synthetic." in card
    assert ("the fold's own test clips" in card) == (case.get("validation") == "test")


def test_what_made_it_and_how_to_use_it_are_there(make_run):
    card = model_card(make_run().report)
    for text in (
        "python -m serjax.predict checkpoints/little_run clip.wav",
        'serjax.load("checkpoints/little_run")',
        "python -m serjax.train --exp little_run",
        "jax 9.9.9, serjax 1.2.3",
        "2 min 5 s",
        "Encoder: wav2vec2 from random weights of size tiny",
        "1,234,567 weights, of which 234,567 were trained",
        "](confusion.png)",
        "](curves.png)",
    ):
        assert text in card


def test_a_network_has_neither_pooling_nor_an_encoder(make_run):
    card = model_card(make_run(family="bilstm", model=Functionals().summary).report)
    assert "Network: bilstm from random weights. 1,234,567 weights" in card
    assert "pooling" not in card
    assert "None" not in card


def test_a_bar_in_a_name_does_not_break_the_table(make_run):
    card = model_card(make_run(labels=("sad|glad", "calm")).report)
    assert "| sad/glad |" in card
