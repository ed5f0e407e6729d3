#!/usr/bin/env python3
"""Holds the state store to its promises against a real S3 server, moto (https://docs.getmoto.org).

    pip install 'moto[server]'
    python3 tests/s3/run.py            # runs `cargo test -p millstream-connectors --lib remote`
    python3 tests/s3/run.py COMMAND…   # runs another command, with the store's URL in MILLSTREAM_TEST_STATE_URL
"""

import os
import subprocess
import sys

from moto.server import ThreadedMotoServer

BUCKET = "millstream"


def main() -> int:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ.update(
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_REGION="us-east-1",
        MILLSTREAM_TEST_STATE_URL=f"s3://{BUCKET}/state/of/it?endpoint=http://{host}:{port}",
    )
    try:
        import boto3

        boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket=BUCKET)
        command = sys.argv[1:] or ["cargo", "test", "-p", "millstream-connectors", "--lib", "remote"]
        return subprocess.run(command, check=False).returncode
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
