"""The Hugging Face Hub on this machine, over HTTP, as far as huggingface_hub asks for it when models go up and down."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class LocalHub:
    """
    :ivar repositories: Contents of files by name, by repository.
    :ivar url: Where it listens.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.messages: list[str] = []
        self.tokens: set[str | None] = set()
        self.url = ""

    def post(self, path: str, body: bytes) -> Any:
        if path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
            self.repositories.setdefault(name, {})
            return {"url": f"{self.url}/{name}", "name": name, "id": name}
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}
        repository, what = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", path).groups()
        if what == "preupload":
            files = json.loads(body)["files"]
            return {"files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]}
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "header":
                self.messages.append(line["value"]["summary"])
            else:
                assert line["value"]["encoding"] == "base64"
                self.repositories[repository][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        return {"commitUrl": f"{self.url}/{repository}/commit/{COMMIT}", "commitOid": COMMIT, "success": True}

    def get(self, path: str) -> Any:
        """Bytes of a file, or what goes into JSON. None if there is no such thing."""
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(tree|revision)/[^/]+", path):
            files = self.repositories[found[1]]
            if found[2] == "tree":
                return [
                    {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for name, content in files.items()
                ]
            return {"id": found[1], "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        return None if found is None else self.repositories.get(found[1], {}).get(found[2])


def _handler_of(hub: LocalHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length")
            body = self.rfile.read(int(length)) if length else b"".join(self._chunks())
            hub.tokens.add(self.headers.get("Authorization"))
            self._answer(hub.post(self.path.partition("?")[0], body))

        def do_GET(self) -> None:
            self._answer(hub.get(self.path.partition("?")[0]))

        do_HEAD = do_GET  # noqa: N815

        def _chunks(self) -> Iterator[bytes]:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def _answer(self, what: Any) -> None:
            content = what if isinstance(what, bytes) else json.dumps(what).encode()
            self.send_response(404 if what is None else 200)
            if what is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    return Handler


@contextmanager
def local_hub() -> Iterator[LocalHub]:
    """
    :return: A Hub that listens while the context lasts.
    """
    hub = LocalHub()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(hub)) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield hub
        finally:
            server.shutdown()
