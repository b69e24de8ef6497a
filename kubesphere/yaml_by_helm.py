"""Reads YAML with Helm's own parser, because Python's standard library has none."""

import json
import pathlib
import re
import subprocess
import tempfile


class Unreadable(Exception):
    """A text that is no YAML, or Helm's complaint."""


def helm(*arguments):
    """What Helm prints."""
    run = subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False)
    if run.returncode:
        raise Unreadable(run.stderr.strip())
    return run.stdout


def documents(text):
    """The documents of a YAML text, each a mapping."""
    parts = [part for part in re.split(r"(?m)^---\s*$", text) if re.search(r"(?m)^\s*[^#\s]", part)]
    with tempfile.TemporaryDirectory() as directory:
        chart = pathlib.Path(directory)
        (chart / "templates").mkdir()
        (chart / "parts").mkdir()
        (chart / "Chart.yaml").write_text("apiVersion: v2\nname: read\nversion: 0.0.0\n")
        for number, part in enumerate(parts):
            (chart / "parts" / f"{number:05}").write_text(part)
        (chart / "templates" / "all.yaml").write_text(
            "{{- range $_, $text := .Files.Glob \"parts/*\" }}\n---\n{{ toString $text | fromYaml | toJson }}{{ end }}\n"
        )
        lines = helm("template", "read", str(chart)).splitlines()
    read = [json.loads(line) for line in lines if line.startswith("{")]
    for document in read:
        if list(document) == ["Error"]:
            raise Unreadable(document["Error"])
    return read


def document(text):
    """The one document of a YAML text."""
    read = documents(text)
    if len(read) != 1:
        raise Unreadable(f"{len(read)} documents instead of one")
    return read[0]
