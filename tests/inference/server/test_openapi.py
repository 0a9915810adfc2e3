"""The OpenAPI document: every route is in it, and nothing that is none."""

from serjax.inference.server.app import make_app
from serjax.inference.server.openapi import document


def test_every_route_is_described(service_of):
    paths = {route.path.replace(":path", "") for route in make_app(service_of()).routes}
    assert paths - {"/docs", "/openapi.json"} == document("tiny")["paths"].keys()


def test_the_document_has_the_shape_of_openapi(asked):
    found = asked.get("/openapi.json").json()
    assert found["openapi"] == "3.1.0"
    for path, methods in found["paths"].items():
        for method, one in methods.items():
            assert method in ("get", "post")
            assert one["description"]
            assert one["responses"]
            named = {p["name"] for p in one.get("parameters", []) if p["in"] == "path"}
            assert named == ({"name"} if "{name}" in path else set())
    for status in ("413", "415", "422", "429", "503"):
        assert status in found["paths"]["/"]["post"]["responses"]
