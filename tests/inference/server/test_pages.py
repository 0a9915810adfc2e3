"""Pages: their policy allows what they hold, nothing comes from elsewhere, and card and examples are served."""

import base64
import hashlib
import io
import re

import soundfile

from serjax.inference.server.examples import examples
from serjax.inference.server.openapi import document
from serjax.inference.server.pages import docs_page, page, policy


def test_the_policy_names_the_pages_own_script_and_style(asked):
    found = asked.get("/")
    allowed = found.headers["Content-Security-Policy"]
    for tag in ("script", "style"):
        (inner,) = re.findall(rf"<{tag}>(.*?)</{tag}>", found.text, re.S)
        assert f"'sha256-{base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()}'" in allowed
    assert "unsafe" not in allowed
    assert "default-src 'none'" in allowed
    assert "connect-src 'self'" in allowed


def test_nothing_comes_from_elsewhere():
    text, _ = page()
    assert re.findall(r"https?://|//[a-z]+\.", text) == []
    assert re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"(?!data:,)", text) == []
    assert re.findall(r" (?:style|on\w+)=\"", text) == []
    assert "innerHTML" not in text


def test_a_page_without_scripts_allows_none(asked):
    allowed = asked.get("/docs").headers["Content-Security-Policy"]
    assert "script-src  'none'" in allowed
    assert "blob:" not in allowed.partition("style-src")[0]
    assert "script-src 'sha256-" in policy("<script>1</script>")


def test_docs_tell_of_every_path(asked):
    text = asked.get("/docs").text
    assert all(f"<code>{path}</code>" in text for path in document("tiny")["paths"])
    assert "<script" not in docs_page(document("<script>alert(1)</script>"))


def test_the_card_is_text(asked, service_of):
    from served import client

    found = asked.get("/card")
    assert (found.text, found.headers["Content-Type"]) == ("# Card", "text/plain; charset=utf-8")
    with client(service_of(card=None)) as own:
        assert (own.get("/card").status_code, own.get("/card").json()) == (404, {"error": "this model has no card."})


def test_examples_are_served_and_answered(asked):
    listed = asked.get("/examples").json()
    assert [one["name"] for one in listed] == list(examples())
    content = asked.get(f"/examples/{listed[0]['name']}")
    assert content.headers["Content-Type"] == "audio/wav"
    assert soundfile.info(io.BytesIO(content.content)).samplerate == 16_000
    assert asked.post("/", content=content.content).status_code == 200
    assert asked.get("/examples/none").status_code == 404
