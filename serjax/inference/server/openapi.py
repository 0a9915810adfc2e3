"""The description of the API, in OpenAPI 3.1."""

from typing import Any

from serjax.runtime.version import __version__

_REFUSALS = {
    "401": "the API key is missing or wrong",
    "408": "the body came too slowly",
    "413": "the recording has too many bytes or seconds",
    "415": "the body, or the recording, is of a type that is not read",
    "422": "the recording or a field cannot be read; what was wrong, and what to do",
    "429": "too many requests are in progress; Retry-After says when to come again",
    "503": "the server is warming up, out of memory for sound, or ends; Retry-After says when to come again",
}
_SCORE = {"type": "object", "properties": {"label": {"type": "string"}, "score": {"type": "number"}}}
_SCORES = {"type": "array", "items": _SCORE}
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}


def _answers(text: str, schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    good = {"200": {"description": text, "content": {kind: {"schema": schema}}}}
    error = {"application/json": {"schema": _ERROR}}
    return good | {status: {"description": why, "content": error} for status, why in _REFUSALS.items()}


def _plain(text: str, schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    return {
        "get": {"description": text, "responses": {"200": {"description": "it", "content": {kind: {"schema": schema}}}}}
    }


def _classify(text: str) -> dict[str, Any]:
    top = {"description": "so many labels alone, the highest first", "type": "integer", "minimum": 1}
    function = {"description": "refused unless it is the model's own", "type": "string"}
    fields = {
        "inputs": {"description": "bytes of a sound file in base64", "type": "string", "contentEncoding": "base64"},
        "parameters": {
            "description": "top_k and function_to_apply",
            "type": "object",
            "properties": {"top_k": top, "function_to_apply": function},
        },
    }
    content = {
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "application/json": {"schema": {"type": "object", "properties": fields, "required": ["inputs"]}},
    }
    query = {
        "name": "top_k",
        "in": "query",
        "description": "as in parameters, where the body is the file",
        "schema": top,
    }
    return {
        "description": text,
        "parameters": [query],
        "requestBody": {"required": True, "content": content},
        "responses": _answers("all labels with their scores, the highest first", _SCORES),
    }


def _transcribe() -> dict[str, Any]:
    fields = {
        "file": {"description": "a sound file", "type": "string", "format": "binary"},
        "model": {"description": "name of the model, or nothing", "type": "string"},
        "response_format": {
            "description": "json: the label as text. verbose_json: scores, segments and windows too",
            "type": "string",
            "enum": ["json", "verbose_json"],
            "default": "json",
        },
        "window": {"description": "seconds of a window of the timeline", "type": "number"},
        "hop": {"description": "seconds from one window to the next", "type": "number"},
        "channels": {
            "description": "mix, or separate: each channel for itself",
            "type": "string",
            "enum": ["mix", "separate"],
            "default": "mix",
        },
    }
    schema = {"type": "object", "properties": fields, "required": ["file"]}
    return {
        "description": "The timeline of a recording, in the shape of OpenAI's transcriptions: the text of a segment "
        "is its label. Other fields of theirs are not used, which notes say.",
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}},
        "responses": _answers("the answer", {"type": "object", "properties": {"text": {"type": "string"}}}),
    }


def _stream() -> dict[str, Any]:
    named = {
        "rate": "of the sound in Hz, by default 16000",
        "window": "seconds that are heard",
        "hop": "seconds between answers",
    }
    return {
        "x-method": "WebSocket",
        "description": "Live sound: binary messages of mono 16-bit little-endian PCM; an answer every hop as JSON with "
        'start, end, scores and uncertainty. {"end": true} asks for the last answer and closes. Where a key is '
        'needed and no Authorization header can be sent, the first message is {"api_key": ...}.',
        "parameters": [
            {"name": name, "in": "query", "description": text, "schema": {"type": "number"}}
            for name, text in named.items()
        ],
        "responses": {"101": {"description": "the stream is open"}}
        | {s: {"description": _REFUSALS[s]} for s in ("422", "429", "503")},
    }


def document(name: str) -> dict[str, Any]:
    """Return the OpenAPI document of a server.

    Args:
        name: of its model.
    """
    text, anything = {"type": "string"}, {"type": "object"}
    model = {"name": "name", "in": "path", "required": True, "description": f"here {name}", "schema": text}
    named = _classify("The same for the model of that name.")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"serjax: {name}",
            "version": __version__,
            "description": 'Emotions in speech. Errors are JSON with one sentence: {"error": ...}. Recordings are '
            "sent as bytes and not kept; no path and no URL is opened.",
        },
        "paths": {
            "/": {
                "post": _classify(
                    "The emotions of a recording, as the Hugging Face inference API for audio classification."
                )
            },
            "/models/{name}": {"post": {**named, "parameters": [model, *named["parameters"]]}},
            "/v1/audio/transcriptions": {"post": _transcribe()},
            "/stream": {"get": _stream()},
            "/v1/models": _plain("The model, its labels and limits.", anything),
            "/health": _plain("200 when the server is ready, 503 before.", anything),
            "/metrics": _plain("Numbers in Prometheus' text format.", text, "text/plain"),
            "/card": _plain("The model card in Markdown, where there is one.", text, "text/plain"),
            "/examples": _plain("Names of the example clips.", {"type": "array", "items": anything}),
            "/examples/{name}": {
                "get": {
                    "description": "An example clip, rendered by serjax.",
                    "parameters": [{**model, "description": "as /examples lists it"}],
                    "responses": {"200": {"description": "a WAV file", "content": {"audio/wav": {}}}},
                }
            },
        },
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }
