"""The application: who may call it, its headers, and errors of every kind as one sentence."""

import pytest
from served import client, sound

from serjax.inference.server.limits import Limits


def test_every_answer_has_the_headers(asked):
    for path in ("/", "/docs", "/health", "/none", "/card"):
        headers = asked.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"


def test_unknown_paths_and_methods_get_a_sentence(asked):
    assert (asked.get("/none").status_code, asked.get("/none").json()) == (
        404,
        {"error": "there is no such path; /docs lists them."},
    )
    found = asked.put("/")
    assert (found.status_code, found.json()) == (405, {"error": "this path has no such method; see /docs."})


def test_the_key_is_asked_for_where_recordings_go(service_of):
    with client(service_of(api_key="secret")) as own:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Basic secret"},
            {"Authorization": "Bearer é".encode()},
        ):
            for method, path in (("POST", "/"), ("POST", "/models/tiny"), ("GET", "/v1/models"), ("GET", "/metrics")):
                found = own.request(method, path, headers=headers)
                assert (found.status_code, found.headers["WWW-Authenticate"]) == (401, "Bearer")
                assert "send Authorization: Bearer KEY" in found.json()["error"]
        right = {"Authorization": "bearer secret"}
        assert own.post("/", content=sound(), headers=right).status_code == 200
        assert [own.get(path).status_code for path in ("/", "/docs", "/health", "/openapi.json")] == [200] * 4


def test_pages_of_other_origins_may_not_call(asked):
    assert asked.post("/", content=sound(), headers={"Origin": "http://server"}).status_code == 200
    for origin in ("http://evil.example", "null"):
        found = asked.post("/", content=sound(), headers={"Origin": origin})
        assert found.status_code == 403
        assert "may not call this server" in found.json()["error"]
        assert "access-control-allow-origin" not in found.headers
    from starlette.testclient import WebSocketDenialResponse

    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        asked.websocket_connect("/stream", headers={"Origin": "http://evil.example"}),
    ):
        pass
    assert refused.value.status_code == 403


def test_pages_of_a_named_origin_may_call(service_of):
    origin = "https://good.example"
    with client(service_of(cors=(origin,))) as own:
        found = own.post("/", content=sound(), headers={"Origin": origin})
        assert (found.status_code, found.headers["Access-Control-Allow-Origin"]) == (200, origin)
        asks = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        assert own.options("/", headers=asks).status_code == 200
        assert own.post("/", content=sound(), headers={"Origin": "http://evil.example"}).status_code == 403


def test_limits_are_answered_with_their_status(service_of):
    limits = Limits(max_bytes=30_000, max_seconds=1)
    with client(service_of(limits=limits)) as own:
        found = own.post("/", content=sound(seconds=2))
        assert (found.status_code, "the body has more than" in found.json()["error"]) == (413, True)
        found = own.post("/", content=sound(seconds=1.5, kind="FLAC", pitch=0))
        assert (found.status_code, found.json()["error"]) == (
            413,
            "the recording is longer than 1 s; send it in parts.",
        )
    with client(service_of(limits=Limits(queue=0))) as own:
        found = own.post("/", content=sound())
        assert (found.status_code, found.headers["Retry-After"]) == (429, "2")
    with client(service_of(limits=Limits(memory=40_000))) as own:
        found = own.post("/", content=sound())
        assert (found.status_code, found.headers["Retry-After"]) == (503, "5")


def test_an_error_of_the_servers_own_is_told_without_its_inside(service_of, monkeypatch, caplog):
    service = service_of()

    async def broken(*_):
        raise RuntimeError("inside")

    monkeypatch.setattr(service, "classify", broken)
    with client(service) as own:
        found = own.post("/", content=sound())
    assert found.status_code == 500
    assert "inside" not in found.text
    assert "inside" in caplog.text
    assert service.requests == 0
    assert service.budget.held == 0
