"""A schema registry in memory, with the REST calls that producers and consumers make."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class SchemaRegistry:
    """Schemas by id, and ids by subject. `url` is where it listens, `calls` what was asked."""

    def __init__(self):
        self.schemas, self.subjects, self.calls = [], {}, []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            """One call."""

            def answer(self, status, body):
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_GET(self):
                """GET /schemas/ids/N"""
                registry.calls.append(("GET", self.path))
                parts = self.path.split("?")[0].strip("/").split("/")
                if parts[:2] == ["schemas", "ids"] and parts[2].isdigit() and 0 < int(parts[2]) <= len(registry.schemas):
                    return self.answer(200, {"schema": registry.schemas[int(parts[2]) - 1]})
                return self.answer(404, {"error_code": 40403, "message": "Schema not found"})

            def do_POST(self):
                """POST /subjects/S/versions"""
                registry.calls.append(("POST", self.path))
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                parts = self.path.strip("/").split("/")
                if parts[:1] == ["subjects"] and parts[2:] == ["versions"]:
                    number = registry.register(parts[1], body["schema"])
                    return self.answer(200, {"id": number})
                return self.answer(404, {"error_code": 404, "message": "HTTP 404 Not Found"})

            def log_message(self, *_):
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def register(self, subject, schema):
        """The id of a schema."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        if text not in self.schemas:
            self.schemas.append(text)
        number = self.schemas.index(text) + 1
        self.subjects.setdefault(subject, []).append(number)
        return number

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
