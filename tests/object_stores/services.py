"""Object stores to try against: S3 (moto), Google Cloud Storage (a stand-in of its XML API), Azure Blob Storage (Azurite).

Each gives a state URL and the environment that goes with it, for as long as its `with` lasts. The stand-in for Google holds requests
to the rules of Google's reference that the client depends on: the signature, one family of headers, the precondition.
"""

import base64
import contextlib
import datetime
import email.utils
import hashlib
import hmac
import http.server
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from xml.sax.saxutils import escape

from server import free_port

BUCKET = "millstream"


@contextlib.contextmanager
def s3():
    """S3 as moto has it (https://docs.getmoto.org)."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
        boto3.client("s3", endpoint_url=f"http://{host}:{port}", aws_access_key_id="test", aws_secret_access_key="test",
                     region_name="us-east-1").create_bucket(Bucket=BUCKET)
        yield f"s3://{BUCKET}/state/of/it?endpoint=http://{host}:{port}", keys
    finally:
        server.stop()


GOOGLE_SECRET = "a secret of Google's"
# When all objects were written, as far as anybody asks.
MODIFIED = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)


class Google(http.server.BaseHTTPRequestHandler):
    """One bucket of the XML API: objects in memory, put with a precondition, listed in version 2."""

    protocol_version = "HTTP/1.1"
    objects: dict = {}
    lock = threading.Lock()

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer()

    def do_HEAD(self):
        self.answer()

    def do_PUT(self):
        self.answer()

    def do_DELETE(self):
        self.answer()

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        status, out = self.refusal(body) or self.carried_out(body)
        start, end = 0, len(out)
        if self.headers.get("range") and status == 200:
            first, last = self.headers["range"].removeprefix("bytes=").split("-")
            status, start, end = 206, int(first), min(len(out), int(last) + 1)
        self.send_response(status)
        self.send_header("content-length", str(end - start))
        self.send_header("last-modified", email.utils.format_datetime(MODIFIED, usegmt=True))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(out[start:end])

    def refusal(self, body: bytes):
        """Why the request is refused, as the reference has it."""
        names = [name.lower() for name in self.headers]
        if any(name.startswith("x-amz-") for name in names) and any(name.startswith("x-goog-") for name in names):
            return 400, b"<Error><Code>ExcessHeaderValues</Code><Message>both x-amz and x-goog headers</Message></Error>"
        if self.headers.get("x-goog-content-sha256") != hashlib.sha256(body).hexdigest():
            return 400, b"<Error><Code>XAmzContentSHA256Mismatch</Code><Message>of another body</Message></Error>"
        if self.headers.get("authorization") != self.signature():
            return 403, b"<Error><Code>SignatureDoesNotMatch</Code><Message>another signature</Message></Error>"
        return None

    def signature(self) -> str:
        """The header that the request should have: https://cloud.google.com/storage/docs/authentication/signatures."""
        given = dict(part.strip().split("=", 1) for part in self.headers["authorization"].split(" ", 1)[1].split(","))
        names = given["SignedHeaders"].split(";")
        if not {"host", "x-goog-date"} <= set(names):
            return "none"
        path, _, query = self.path.partition("?")
        headers = "".join(f"{name}:{self.headers[name].strip()}\n" for name in names)
        request = "\n".join([self.command, path, "&".join(sorted(query.split("&"))), headers, ";".join(names),
                             self.headers["x-goog-content-sha256"]])
        access, day, region, service, end = given["Credential"].split("/")
        key = f"GOOG4{GOOGLE_SECRET}".encode()
        for part in [day, region, "storage", "goog4_request"]:
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        text = "\n".join(["GOOG4-HMAC-SHA256", self.headers["x-goog-date"], f"{day}/{region}/storage/goog4_request",
                          hashlib.sha256(request.encode()).hexdigest()])
        signed = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        return (f"GOOG4-HMAC-SHA256 Credential={access}/{day}/{region}/{service}/{end}, "
                f"SignedHeaders={given['SignedHeaders']}, Signature={signed}")

    def carried_out(self, body: bytes):
        path, _, query = self.path.partition("?")
        parts = urllib.parse.unquote(path).lstrip("/").split("/", 1)
        key = parts[1] if len(parts) > 1 else ""
        if parts[0] != BUCKET:
            return 404, b"<Error><Code>NoSuchBucket</Code></Error>"
        with self.lock:
            if self.command == "PUT":
                if self.headers.get("x-goog-if-generation-match") == "0" and key in self.objects:
                    return 412, b"<Error><Code>PreconditionFailed</Code></Error>"
                source = self.headers.get("x-goog-copy-source")
                if source:
                    body = self.objects.get(urllib.parse.unquote(source).removeprefix(f"/{BUCKET}/"))
                    if body is None:
                        return 404, b"<Error><Code>NoSuchKey</Code></Error>"
                self.objects[key] = body
                return 200, b""
            if self.command == "DELETE":
                return (204, b"") if self.objects.pop(key, None) is not None else (404, b"<Code>NoSuchKey</Code>")
            if key:
                found = self.objects.get(key)
                return (404, b"<Error><Code>NoSuchKey</Code></Error>") if found is None else (200, found)
            return 200, self.listing(dict(urllib.parse.parse_qsl(query)))

    def listing(self, query: dict) -> bytes:
        after = query.get("continuation-token", "")
        keys = sorted(key for key in self.objects if key.startswith(query.get("prefix", "")) and key > after)
        page = keys[:50]
        out = "".join(f"<Contents><Key>{escape(key)}</Key><LastModified>{MODIFIED.isoformat()}</LastModified>"
                      f"<Size>{len(self.objects[key])}</Size></Contents>" for key in page)
        if len(keys) > len(page):
            out += f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
        return f"<ListBucketResult>{out}</ListBucketResult>".encode()


@contextlib.contextmanager
def gs():
    """Google Cloud Storage with HMAC keys."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Google)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        keys = {"GS_ACCESS_KEY_ID": "access", "GS_SECRET_ACCESS_KEY": GOOGLE_SECRET}
        yield f"gs://{BUCKET}/state/of/it?endpoint=http://127.0.0.1:{server.server_address[1]}", keys
    finally:
        server.shutdown()


# The account that every Azurite has: https://learn.microsoft.com/azure/storage/common/storage-connect-azurite.
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def azurite() -> str:
    """Its program: in the path, or where `.ci/run` installs it (npm install azurite)."""
    installed = os.path.expanduser("~/.cache/millstream/azurite/node_modules/.bin/azurite-blob")
    found = shutil.which("azurite-blob") or installed
    if not os.path.exists(found):
        sys.exit("azurite is missing: npm install --prefix ~/.cache/millstream/azurite azurite")
    return found


def make_container(endpoint: str) -> None:
    date, version = email.utils.format_datetime(datetime.datetime.now(datetime.timezone.utc), usegmt=True), "2021-08-06"
    text = (f"PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n"
            f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{BUCKET}\nrestype:container")
    signed = base64.b64encode(hmac.new(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256).digest()).decode()
    headers = {"x-ms-date": date, "x-ms-version": version, "authorization": f"SharedKey {AZURE_ACCOUNT}:{signed}",
               "content-length": "0"}
    request = urllib.request.Request(f"{endpoint}/{BUCKET}?restype=container", method="PUT", headers=headers)
    urllib.request.urlopen(request, timeout=10).close()


@contextlib.contextmanager
def az():
    """Azure Blob Storage as Azurite has it."""
    port = free_port()
    process = subprocess.Popen([azurite(), "--inMemoryPersistence", "--silent", "--disableTelemetry",
                                "--skipApiVersionCheck", "--blobHost",
                                "127.0.0.1", "--blobPort", str(port)], stdout=subprocess.DEVNULL)
    try:
        endpoint, deadline = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}", time.monotonic() + 60
        while True:
            try:
                make_container(endpoint)
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.1)
        keys = {"AZURE_STORAGE_ACCOUNT": AZURE_ACCOUNT, "AZURE_STORAGE_KEY": AZURE_KEY}
        yield f"az://{BUCKET}/state/of/it?endpoint={endpoint}", keys
    finally:
        process.terminate()
        process.wait()


ALL = {"s3": s3, "gs": gs, "az": az}
