"""Bodies: raw bytes, JSON and forms; none is written to a disk, and none is trusted."""

import asyncio
import tempfile

import pytest
from served import in_base64
from starlette.requests import Request

from serjax.inference.server.bodies import read_clip, read_form
from serjax.inference.server.limits import Budget, Limits, Refused

LIMITS = Limits(max_bytes=3 << 20)


def read(how, body, kind=None, query=b""):
    parts = [body[at : at + 50_000] for at in range(0, len(body), 50_000)] or [b""]
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages[-1]["more_body"] = False

    async def receive():
        return messages.pop(0)

    headers = [] if kind is None else [(b"content-type", kind.encode())]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": query, "headers": headers}

    async def run():
        with Budget(100 << 20).allowance() as allowance:
            return await how(Request(scope, receive), LIMITS, allowance)

    return asyncio.run(run())


def form(**fields):
    parts = []
    for name, value in fields.items():
        extra = '; filename="../../etc/x.wav"' if isinstance(value, bytes) else ""
        content = value if isinstance(value, bytes) else value.encode()
        parts.append(
            f'--b\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode() + content + b"\r\n"
        )
    return b"".join(parts) + b"--b--\r\n"


FORM = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    "kind", [None, "audio/flac", "video/mp4", "application/octet-stream", "application/x-www-form-urlencoded"]
)
def test_raw_bytes_are_the_recording(kind):
    assert read(read_clip, b"sound", kind, b"top_k=2").content == b"sound"


def test_json_has_base64_and_parameters():
    body = f'{{"inputs": "{in_base64(b"sound")}", "parameters": {{"top_k": 2}}}}'.encode()
    assert read(read_clip, body, "application/json; charset=utf-8") == (b"sound", {"top_k": 2})


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "cannot be read as JSON"),
        (b"[" * 100_000, "nested more than"),
        (b'{"parameters": {"\\ud800": 1}}', "half a character"),
        (b'{"inputs": "aGk=", "inputs": "aGk="}', "inputs is there twice"),
        (b"[]", "inputs: it is missing"),
        (b'{"inputs": 3}', "inputs: it is missing"),
        (b'{"inputs": "aGk=", "parameters": 3}', "inputs: it is missing"),
        (b'{"inputs": "***"}', "it is not base64"),
        (b'{"inputs": ""}', "empty"),
    ],
)
def test_other_json_is_refused(body, sentence):
    with pytest.raises(Refused, match=sentence) as refused:
        read(read_clip, body, "application/json")
    assert refused.value.status == 422


def test_a_form_has_a_file_and_fields_and_touches_no_disk(monkeypatch):
    def none(*_, **__):
        raise AssertionError("a file is made")

    monkeypatch.setattr(tempfile, "_mkstemp_inner", none)
    monkeypatch.setattr(tempfile, "TemporaryFile", none)
    content = bytes(range(256)) * 8_000
    found = read(read_form, form(file=content, response_format="json"), FORM)
    assert found == (content, {"response_format": "json"})


@pytest.mark.parametrize(
    ("body", "kind", "status", "sentence"),
    [
        (form(other="x"), FORM, 422, "the form has no file"),
        (form(file="text"), FORM, 422, "the form has no file"),
        (form(file=b""), FORM, 422, "empty"),
        (b"garbage", FORM, 422, "the form"),
        (b"--b\r\n\r\n", FORM, 422, "the form"),
        (form(file=b"x"), "multipart/form-data", 422, "the form cannot be read"),
        (form(file=b"x"), "application/json", 415, "Content-Type: got application/json"),
        (form(file=b"x", **{"a": "y" * 100_000}), FORM, 422, "the form cannot be read"),
        (form(file=bytes(5 << 20)), FORM, 413, "more than 4 MiB"),
    ],
)
def test_other_forms_are_refused(body, kind, status, sentence):
    with pytest.raises(Refused, match=sentence) as refused:
        read(read_form, body, kind)
    assert refused.value.status == status
