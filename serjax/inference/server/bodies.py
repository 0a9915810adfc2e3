"""Bodies of requests: the bytes of a recording, JSON with base64, or a form."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, NamedTuple

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from serjax.inference.server.limits import MIB, Allowance, Limits, Refused, bounded
from serjax.runtime.errors import UserError
from serjax.runtime.json_files import parse_json

RAW = ("audio/", "video/", "application/octet-stream", "application/ogg", "application/x-www-form-urlencoded")
"""Types of a body that is the recording itself; the last is what curl names where no type is given."""

_FIELD = 1 << 16
"""Bytes of a form's text fields, at most."""


class _InMemory(MultiPartParser):
    """Parser that writes no part to a disk; the body is bounded already."""

    spool_max_size = 1 << 62


class Body(NamedTuple):
    """A recording, and what was asked of it.

    Attributes:
        content: bytes of its file.
        fields: by name; texts of a form, values of JSON's `parameters`.
    """

    content: bytes
    fields: Mapping[str, Any]


async def read_clip(request: Request, limits: Limits, allowance: Allowance) -> Body:
    """Read a body as the Hugging Face inference API takes it: raw, or JSON with base64 `inputs` and `parameters`.

    Raises:
        Refused: it is of another type (415), is no such JSON or is empty (422); see also `bounded`.
    """
    kind = _kind(request)
    if kind == "application/json":
        # Base64 has four characters for three bytes.
        text = await _read(request, limits.max_bytes * 4 // 3 + MIB, limits, allowance)
        return _checked(_from_json(text))
    if kind and not kind.startswith(RAW):
        raise Refused(
            415,
            f"Content-Type: got {kind}; send the bytes of a recording (audio/wav, application/octet-stream, ...), or "
            "application/json with base64 inputs.",
        )
    return _checked(Body(await _read(request, limits.max_bytes, limits, allowance), request.query_params))


async def read_form(request: Request, limits: Limits, allowance: Allowance) -> Body:
    """Read a body as OpenAI's transcriptions take it: a form with `file`, and text fields.

    Raises:
        Refused: it is no form (415), lacks `file` or is empty (422); see also `bounded`.
    """
    if _kind(request) != "multipart/form-data":
        raise Refused(
            415, f"Content-Type: got {_kind(request) or 'none'}; send multipart/form-data with the recording as file."
        )
    most = limits.max_bytes + MIB
    stream = bounded(request.stream(), request.headers.get("content-length"), most, limits, allowance)
    parser = _InMemory(request.headers, stream, max_files=1, max_fields=50, max_part_size=_FIELD)  # type: ignore[arg-type]
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeError, AssertionError) as error:
        raise Refused(
            422, f"the form cannot be read ({error}); send multipart/form-data with the recording as file."
        ) from None
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Refused(422, "the form has no file; send the recording as the field file.")
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        return _checked(Body(await file.read(), fields))
    finally:
        await form.close()


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read(request: Request, most: int, limits: Limits, allowance: Allowance) -> bytes:
    parts = bounded(request.stream(), request.headers.get("content-length"), most, limits, allowance)
    return b"".join([part async for part in parts])


def _from_json(text: bytes) -> Body:
    try:
        found = parse_json(text, "the body", remedy="send an object with base64 inputs")
    except UserError as error:
        raise Refused(422, str(error)) from None
    inputs = found.get("inputs") if isinstance(found, dict) else None
    parameters = found.get("parameters") or {} if isinstance(found, dict) else {}
    if not isinstance(inputs, str) or not isinstance(parameters, dict):
        raise Refused(422, "inputs: it is missing or no text; send the bytes of a recording as base64.")
    try:
        return Body(base64.b64decode(inputs, validate=True), parameters)
    except (binascii.Error, ValueError):
        raise Refused(
            422, "inputs: it is not base64; send the bytes of a recording. Paths and URLs are not opened."
        ) from None


def _checked(body: Body) -> Body:
    if not body.content:
        raise Refused(422, "the recording is empty (0 bytes); send the bytes of a sound file.")
    return body
