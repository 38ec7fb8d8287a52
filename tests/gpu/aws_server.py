"""moto as a process of its own, so that a worker can be killed beside it: `python -m tests.gpu.aws_server PORT`; it ends with its standard input."""

from __future__ import annotations

import logging
import sys

from moto.server import ThreadedMotoServer

from escriba.local.moto_repairs import repaired_moto

if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with repaired_moto():
        server = ThreadedMotoServer("127.0.0.1", int(sys.argv[1]), verbose=False)
        server.start()
        sys.stdin.read()
        server.stop()
