"""The model card holds every score and every warning, and the hub can read it."""

from dataclasses import replace

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


def with_settings(run, part, **values):
    """Return a run with other settings of a part."""
    experiment = replace(run.experiment, **{part: replace(getattr(run.experiment, part), **values)})
    return replace(run, experiment=experiment)


def test_share_that_validated_is_the_true_one(make_run):
    card = model_card(make_run(validation_shares=(1 / 3, 1 / 3)).report)
    assert "33 % of the training part, held out (20 % were asked for)" in card
    card = model_card(make_run(validation_shares=(0.25, 1 / 3)).report)
    assert "25 to 33 % of the training part" in card
    assert "macro-F1 on 20 % of the training part: at most" in model_card(make_run().report)


def test_one_epoch_is_no_epochs(make_run):
    run = with_settings(make_run(), "train", epochs=1)
    assert "at most 1 epoch, patience" in model_card(run.report)
    run = with_settings(make_run(), "train", epochs=1, keep="last")
    assert "The last of 1 epoch was kept" in model_card(run.report)


def test_regular_expressions_are_code(make_run):
    pattern = r"_(?P<speaker>`\w+|x)_"
    run = with_settings(make_run(corpus_notes=(f"Speakers are found by {pattern}", "a < b")), "data")
    run = with_settings(run, "data", speaker_pattern=pattern)
    card = model_card(run.report)
    assert f"Speakers are found by `` {pattern} ``. a &lt; b. " in card


def test_card_says_what_it_is_given(make_run):
    run = with_settings(
        make_run(base_models=("facebook/hubert-base-ls960",)),
        "card",
        license="cc-by-4.0",
        language=("de",),
        intended_use="For tests.",
        limits="Children were never heard.",
        data_license="SAVEE: research only.",
        citation="@misc{one}",
    )
    card = model_card(run.report)
    data = ModelCard(card).data
    assert (data.license, data.language, data.base_model) == ("cc-by-4.0", ["de"], ["facebook/hubert-base-ls960"])
    for text in (
        "## Intended use\n\nFor tests.\n",
        "- Children were never heard.\n- Trained and scored on Some Corpus alone (12 speakers)",
        "- Models: cc-by-4.0.\n- Recordings: SAVEE: research only.\n",
        "those of `facebook/hubert-base-ls960`",
        "## Citation\n\n```bibtex\n@misc{one}\n```\n",
    ):
        assert text in card
    given = model_card(with_settings(run, "card", base_model="me/other").report)
    assert ModelCard(given).data.base_model == ["me/other"]


def test_card_without_a_licence_says_so(make_run):
    card = model_card(make_run().report)
    assert "- Models: not named; until it is, ask before you use them.\n- Recordings: not named" in card
    assert "## Citation" not in card
    assert "## Intended use\n\nResearch on" in card


def test_report_of_before_has_no_settings_of_the_card(make_run):
    report = make_run().report
    del report["experiment"]["card"], report["facts"]["base_models"], report["facts"]["validation_shares"]
    assert "- Models: not named" in model_card(report)


def test_groups_of_speakers_are_there(make_run):
    report = make_run(gender=True).report
    (found,) = report["groups"]
    card = model_card(report)
    assert "By gender, UA in %" in card
    for row in found["groups"]:
        assert f"| {row['group']} | {row['clips']} | {row['speakers']} | {percent(row['ua'])} |" in card
