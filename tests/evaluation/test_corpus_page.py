"""The page about a corpus: well formed, with its pictures inside, and what names hold is text."""

import html.parser
import re

import pytest
from corpus_report import corpus_report

from serjax.evaluation.corpus_page import MOST, corpus_page
from serjax.evaluation.corpus_plots import figures

EMPTY = {"meta", "img", "br"}


class Nesting(html.parser.HTMLParser):
    """Holds that every tag is closed where it should be."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(report):
    page = corpus_page(report, figures(report))
    parser = Nesting()
    parser.feed(page)
    assert parser.open == []
    return page, parser


@pytest.fixture(scope="module")
def full():
    return parsed(corpus_report())


def test_the_page_is_well_formed_and_loads_nothing(full):
    page, parser = full
    assert parser.seen.count("img") == 5
    assert not re.search(r"(?:src|href)=\"(?!data:image/png;base64,)", page)
    assert "<script" not in page


def test_names_are_text_and_long_lists_are_cut(full):
    page, parser = full
    text = " ".join(parser.text)
    assert "angry <&>" in text
    assert "It <b>cannot</b> be." in text
    assert "<b>" not in page
    assert f"The first {MOST} of 250; look.json has them all." in text
    assert f"clip{MOST - 1}" in text
    assert f"clip{MOST}" not in text


def test_all_parts_are_there(full):
    text = " ".join(full[1].text)
    for heading in ("Clips", "Sound", "Levels by class", "Agreement of annotators", "Values", "Copies", "Not decoded"):
        assert heading in text
    assert "equal bytes" in text
    assert "it is damaged; get it again." in text


@pytest.mark.parametrize("labelled", [True, False])
def test_names_alone(labelled):
    report = corpus_report(sound=False, votes=False, values=False) | {"suspicions": [], "labelled": labelled}
    report["files"] = {"sounds": 3, "not_read": {}, "others": {".txt": 2}, "hidden": 1}
    text = " ".join(parsed(report)[1].text)
    assert "Nothing was found." in text
    assert "No file was opened (--no-decode)." in text
    assert "3 sound files, 1 hidden or foreign ones; others: 2 .txt." in text
    assert ("folders stand in place of classes" in text) != labelled
