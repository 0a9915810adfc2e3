"""Stand-in for the Hugging Face hub on this machine: what huggingface_hub asks to upload a folder and to fetch it."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN, SHA = "hf_good", "a" * 40


class Hub:
    """Repositories by name, each a mapping of paths to contents; and large files by their hash."""

    def __init__(self):
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.endpoint = ""


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_):
        pass

    def answer(self, content=b"", status=200, **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        self.hub.asked.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, hub = self.path.split("?")[0], self.hub
        if large := re.fullmatch(r"/large/(\w+)", path):
            assert hashlib.sha256(body).hexdigest() == large[1]
            hub.large[large[1]] = body
            return self.answer()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer({"error": "Invalid credentials"}, 401)
        if path == "/api/whoami-v2":
            return self.answer({"name": "me", "type": "user", "orgs": []})
        if path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            if not name.startswith("me/"):
                return self.answer({"error": "You don't have the rights"}, 403)
            hub.files.setdefault(name, {})
            hub.private[name] = bool(asked.get("private")) or asked.get("visibility") == "private"
            return self.answer({"url": f"{hub.endpoint}/{name}", "name": name, "id": name})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            files = [
                {
                    "path": one["path"],
                    "shouldIgnore": False,
                    "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                }
                for one in json.loads(body)["files"]
            ]
            return self.answer({"files": files})
        if re.fullmatch(r"/[^/]+/[^/]+\.git/info/lfs/objects/batch", path):
            upload = [
                one | {"actions": {"upload": {"href": f"{hub.endpoint}/large/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return self.answer({"transfer": "basic", "objects": upload})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    hub.files[found[1]][value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    hub.files[found[1]][value["path"]] = hub.large[value["oid"]]
            url = f"{hub.endpoint}/{found[1]}/commit/{SHA}"
            return self.answer({"success": True, "commitOid": SHA, "commitUrl": url, "hookOutput": ""})
        if (found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/\w+)?", path)) and found[1] in hub.files:
            siblings = [{"rfilename": name} for name in hub.files[found[1]]]
            return self.answer({"id": found[1], "modelId": found[1], "sha": SHA, "siblings": siblings, "tags": []})
        if (found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/\w+", path)) and found[1] in hub.files:
            files = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in hub.files[found[1]].items()
            ]
            return self.answer(files)
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/\w+/(.+)", path):
            content = hub.files.get(found[1], {}).get(found[2])
            if content is None:
                return self.answer(status=404, **{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": SHA})
            digest = hashlib.sha256(content).hexdigest()
            return self.answer(content, **{"ETag": f'"{digest}"', "X-Repo-Commit": SHA})
        return self.answer({"error": "not found"}, 404, **{"X-Error-Code": "RepoNotFound"})

    do_GET = do_POST = do_PUT = do_HEAD = handle_any


@contextmanager
def serve():
    """Yield a hub that answers on a port of this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
