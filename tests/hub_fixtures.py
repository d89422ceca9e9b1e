"""A stand-in for the hub's file API on this machine: models with commits, branches and large files; holds no test."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

import huggingface_hub.constants
import pytest

TOKEN = "hf_of_the_stand_in"
Files = dict[str, bytes]


@dataclass
class Repository:
    """A model of the stand-in: files by commit, commits by branch."""

    is_private: bool = False
    commits: dict[str, Files] = field(default_factory=lambda: {"0" * 40: {}})
    branches: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})
    messages: list[str] = field(default_factory=list)

    def commit(self, files: Files, branch: str = "main") -> str:
        """Add files to those of a branch."""
        whole = self.commits[self.branches[branch]] | files
        digest = hashlib.sha1(f"{len(self.commits)} {sorted(whole)}".encode(), usedforsecurity=False).hexdigest()
        self.commits[digest] = whole
        self.branches[branch] = digest
        return digest

    def found(self, revision: str) -> str | None:
        """The commit of a branch, or the commit itself, where it is there."""
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None


@dataclass
class StandIn:
    """What the server knows, and each request that it got, as `METHOD path`."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    """Of files, where they are said to be others than they are."""
    url: str = ""
    store: str = ""
    """Where large files lie, which is another host for the client."""
    is_down: bool = False


class _Handler(BaseHTTPRequestHandler):
    hub: StandIn

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.hub.is_down:
            self._send(503, {"error": "down for repair"})
            return
        for method, pattern, answer in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and self.command in method.split():
                answer(self, body, **match.groupdict())
                return
        self._send(404, {"error": "no such page"})

    def _send(self, status: int, content: object, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _may(self, *, write: bool = False) -> bool:
        return not write or self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _repository(self, name: str) -> Repository | None:
        found = self.hub.repositories.get(name)
        if found is None or (found.is_private and not self._may(write=True)):
            self._send(401, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            return None
        return found

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if not self._may(write=True):
            self._send(401, {"error": "Invalid username or password."})
        elif asked["organization"] == "of-others":
            self._send(403, {"error": "You don't have the rights to create a model under this namespace"})
        elif name in self.hub.repositories:
            self._send(409, {"error": "You already created this model repo"})
        else:
            self.hub.repositories[name] = Repository(asked.get("visibility") == "private" or bool(asked.get("private")))
            self._send(200, {"url": f"{self.hub.url}/{name}", "name": name, "id": name})

    def branch(self, body: bytes, name: str, branch: str) -> None:
        found = self._repository(name)
        if found is not None:
            found.branches.setdefault(branch, found.branches["main"])
            self._send(200, {})

    def validate(self, body: bytes) -> None:
        text = json.loads(body)["content"]
        assert re.match(r"---\n.+\n---\n", text, flags=re.DOTALL)
        self._send(200, {"errors": [], "warnings": []})

    def preupload(self, body: bytes, name: str, revision: str) -> None:
        files = [
            {"path": file["path"], "uploadMode": _mode(file["path"]), "shouldIgnore": False, "oid": None}
            for file in json.loads(body)["files"]
        ]
        self._send(200, {"files": files})

    def batch(self, body: bytes, name: str) -> None:
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.hub.url}/upload/{each['oid']}", "header": {}}}}
            for each in json.loads(body)["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def upload(self, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.objects[oid] = body
        self._send(200, {})

    def commit(self, body: bytes, name: str, revision: str) -> None:
        found = self._repository(name)
        if found is None:
            return
        lines = [json.loads(line) for line in body.splitlines()]
        files: Files = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                found.messages.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                files[value["path"]] = self.hub.objects[value["oid"]]
        oid = found.commit(files, revision)
        self._send(200, {"commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid})

    def info(self, body: bytes, name: str, revision: str = "main") -> None:
        found = self._repository(name)
        commit = found.found(revision) if found else None
        if found is not None and commit is None:
            self._send(404, {"error": f"Invalid rev id: {revision}"}, X_Error_Code="RevisionNotFound")
        elif found is not None and commit is not None:
            files = found.commits[commit]
            sizes = {path: self.hub.sizes.get(path, len(content)) for path, content in files.items()}
            siblings = [{"rfilename": path, "size": size} for path, size in sizes.items()]
            self._send(200, {"id": name, "sha": commit, "siblings": siblings, "private": found.is_private})

    def resolve(self, body: bytes, name: str, revision: str, path: str) -> None:
        found = self._repository(name)
        commit = found.found(revision) if found else None
        if found is None or commit is None:
            return
        content = found.commits[commit].get(path)
        if content is None:
            self._send(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
            return
        digest = hashlib.sha256(content).hexdigest()
        headers = {"ETag": f'"{digest}"', "X_Repo_Commit": commit}
        if _mode(path) == "lfs":
            self.hub.objects[digest] = content
            linked = {"X_Linked_ETag": f'"{digest}"', "X_Linked_Size": str(len(content))}
            self._send(302, b"", Location=f"{self.hub.store}/objects/{digest}", **headers, **linked)
        else:
            self._send(200, content, **headers)

    def object(self, body: bytes, oid: str) -> None:
        self._send(200, self.hub.objects[oid])


def _mode(path: str) -> str:
    return "lfs" if path.endswith(".safetensors") else "regular"


_NAME, _REV = r"(?P<name>[^/]+/[^/]+)", r"(?P<revision>[^/]+)"
_ROUTES = (
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.validate),
    ("POST", f"/api/models/{_NAME}/branch/(?P<branch>.+)", _Handler.branch),
    ("POST", f"/api/models/{_NAME}/preupload/{_REV}", _Handler.preupload),
    ("POST", f"/api/models/{_NAME}/commit/{_REV}", _Handler.commit),
    ("POST", f"/{_NAME}[.]git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", "/upload/(?P<oid>[0-9a-f]{64})", _Handler.upload),
    ("GET", f"/api/models/{_NAME}", _Handler.info),
    ("GET", f"/api/models/{_NAME}/revision/{_REV}", _Handler.info),
    ("GET HEAD", f"/{_NAME}/resolve/{_REV}/(?P<path>.+)", _Handler.resolve),
    ("GET HEAD", "/objects/(?P<oid>[0-9a-f]{64})", _Handler.object),
)


@contextmanager
def served() -> Iterator[StandIn]:
    """A stand-in that listens on a free port of this machine."""
    hub = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url, hub.store = (f"http://{host}:{server.server_port}" for host in ("127.0.0.1", "localhost"))
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def point_to(hub: StandIn, monkeypatch: pytest.MonkeyPatch, assets: object) -> None:
    """Let `huggingface_hub`, in this process, take the stand-in for the hub and a folder for its assets."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.utils._cache_assets.HF_ASSETS_CACHE", str(assets))
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def environment_of(hub: StandIn, home: object) -> dict[str, str]:
    """The same for another process."""
    return {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
