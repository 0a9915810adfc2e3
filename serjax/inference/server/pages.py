"""Pages for people: the one that records and shows, the documentation of the API, the model card, and examples."""

import base64
import hashlib
import html
import re
from functools import cache
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from serjax.inference.server.examples import examples
from serjax.inference.server.limits import Refused
from serjax.inference.server.openapi import document

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}
"""Headers of every answer."""

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2rem; font-size: 1.05rem; } code, pre { font: 0.9em ui-monospace, monospace; }
pre { overflow-x: auto; padding: 0.8rem; border: 1px solid #8886; border-radius: 6px; }
b.method { display: inline-block; min-width: 4.5rem; }
"""


@cache
def page() -> tuple[str, str]:
    """Return the page and its Content-Security-Policy, which allows its own script and style alone."""
    text = (files("serjax.inference") / "static" / "index.html").read_text(encoding="utf-8")
    return text, policy(text)


def policy(text: str) -> str:
    """Return the Content-Security-Policy of a page: what stands in it, calls to this server, and sound made in it."""
    hashes = {
        tag: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()}'"
            for inner in re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S)
        )
        for tag in ("script", "style")
    }
    # The recorder is a worklet, which browsers load from a URL alone: from one that the script makes.
    return (
        f"default-src 'none'; script-src {hashes['script'] or ''} blob:; style-src {hashes['style']}; "
        "connect-src 'self'; media-src 'self' blob:; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


async def index(_request: Request) -> Response:
    """Return the page."""
    text, allowed = page()
    return HTMLResponse(text, headers={"Content-Security-Policy": allowed})


async def openapi(request: Request) -> Response:
    """Return the description of the API."""
    return JSONResponse(document(request.app.state.service.settings.name))


async def docs(request: Request) -> Response:
    """Return the description of the API as a page."""
    text = docs_page(document(request.app.state.service.settings.name))
    return HTMLResponse(text, headers={"Content-Security-Policy": policy(text).replace(" blob:;", " 'none';", 1)})


async def card(request: Request) -> Response:
    """Return the model card as text."""
    found = request.app.state.service.settings.card
    if found is None:
        raise Refused(404, "this model has no card.")
    return PlainTextResponse(found, headers={"Content-Security-Policy": "default-src 'none'"})


async def example_list(_request: Request) -> Response:
    """List the example clips."""
    found = examples().items()
    return JSONResponse([{"name": name, "title": one.title, "seconds": one.seconds} for name, one in found])


async def example(request: Request) -> Response:
    """Return an example clip."""
    found = examples().get(request.path_params["name"])
    if found is None:
        raise Refused(404, f"there is no such example; there are {', '.join(examples())}.")
    return Response(found.wav, media_type="audio/wav")


def docs_page(found: dict[str, Any]) -> str:
    """Return an OpenAPI document as a page without scripts."""
    parts = [f"<h1>{html.escape(found['info']['title'])}</h1><p>{html.escape(found['info']['description'])}</p>"]
    parts.append('<p><a href="/openapi.json">openapi.json</a> · <a href="/">page</a></p>')
    for path, methods in found["paths"].items():
        for method, one in methods.items():
            name = one.get("x-method", method.upper())
            parts.append(f'<h2><b class="method">{name}</b> <code>{html.escape(path)}</code></h2>')
            parts.append(f"<p>{html.escape(one['description'])}</p>")
            fields = [
                f"<li><code>{html.escape(p['name'])}</code>: {html.escape(p['description'])}</li>"
                for p in one.get("parameters", [])
            ]
            for kind, content in one.get("requestBody", {}).get("content", {}).items():
                own = content["schema"].get("properties", {})
                inner = ", ".join(f"<code>{html.escape(key)}</code>" for key in own)
                parts.append(f"<p>Body: <code>{html.escape(kind)}</code> {inner}</p>")
                fields += [
                    f"<li><code>{html.escape(key)}</code>: {html.escape(value['description'])}</li>"
                    for key, value in own.items()
                ]
            parts.append(f"<ul>{''.join(fields)}</ul>" if fields else "")
            answers = [
                f"<li>{status}: {html.escape(answer['description'])}</li>"
                for status, answer in one["responses"].items()
            ]
            parts.append(f"<p>Answers:</p><ul>{''.join(answers)}</ul>")
    body = "".join(parts)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>API</title>'
    return f'<!doctype html><html lang="en">{head}<style>{_STYLE}</style><body>{body}</body></html>'
