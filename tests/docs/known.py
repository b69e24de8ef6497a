"""What there is in this repository that a document may speak of: read from the files that decide it."""

import functools
import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Written by `make bench-report`, which takes hours, so not always there.
MADE = {"docs/benchmark.md"}


def read(path):
    """A file of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


@functools.cache
def files():
    """All files that belong to the repository, those not yet committed too."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return {f for f in subprocess.check_output(listed, cwd=ROOT, text=True).splitlines() if (ROOT / f).exists()} | MADE


@functools.cache
def folders():
    """And the folders that they are in."""
    return {str(parent) for file in files() for parent in Path(file).parents}


def documents(pattern):
    """The files whose names fit."""
    return sorted(f for f in files() if re.fullmatch(pattern, f) and (ROOT / f).exists())


def is_there(path):
    """Whether it is a file or a folder of the repository, or a pattern that fits some."""
    path = path.rstrip("/")
    return path in files() or path in folders() or any(Path(f).match(path) for f in files() if "*" in path)


@functools.cache
def text_of(*tops):
    """All text of these folders."""
    return "\n".join(read(f) for f in sorted(files()) if f.startswith(tops) and Path(f).suffix not in {".png", ".md"})


@functools.cache
def make_targets():
    """Targets of the Makefile."""
    rules = re.findall(r"^([a-z][a-z0-9 -]*):(?!=)", read("Makefile"), re.M)
    return {target for rule in rules for target in rule.split()}


def is_variable(name):
    """Whether the Makefile, or what it starts, knows this variable."""
    return re.search(rf"\b{name}\b", read("Makefile") + text_of("tests/clients/", "bench/")) is not None


@functools.cache
def charts():
    """Charts by name: (folder, version, schema of the values)."""
    found = {}
    for file in files():
        if re.fullmatch(r"charts/[^/]+/Chart.yaml", file):
            folder = str(Path(file).parent)
            version = re.search(r"^version: (.+)$", read(file), re.M)[1]
            found[Path(folder).name] = (folder, version, json.loads(read(f"{folder}/values.schema.json")))
    return found


def has_value(schema, key):
    """Whether a chart has the value with this dotted key (`\\.` is a dot in a name)."""
    node = schema
    for part in re.split(r"(?<!\\)\.", key):
        while "$ref" in node:
            node = functools.reduce(lambda at, name: at[name], node["$ref"].removeprefix("#/").split("/"), schema)
        name = re.sub(r"\[\d+\]$", "", part.replace("\\.", "."))
        if name in node.get("properties", {}):
            node = node["properties"][name]
            continue
        if patterns := [inner for pattern, inner in node.get("patternProperties", {}).items() if re.search(pattern, name)]:
            node = patterns[0]
            continue
        more = node.get("additionalProperties", "properties" not in node)
        if more is False:
            return False
        node = more if isinstance(more, dict) else {}
    return True


def is_setting(path):
    """Whether `a.b` can be a field of the spec or a chart's value: None if neither begins like this."""
    first = path.split(".")[0]
    schemas = [schema for _, _, schema in charts().values()]
    if f"spec.{first}" not in fields() and not any(first in schema["properties"] for schema in schemas):
        return None
    return is_field(f"spec.{path}") or any(has_value(schema, path) for schema in schemas)


@functools.cache
def plugin():
    """kubectl rr's commands: name → flags, from the definition for clap; and the flags of all."""
    source = read("plugin/src/args.rs").split("#[cfg(test)]")[0]
    structs = dict(re.findall(r"pub struct (\w+) \{\n(.*?)\n\}", source, re.S))

    def flags(body):
        found = {"-h", "--help"}
        for attributes, name, kind in re.findall(r"((?: +#\[[^\n]*\]\n)*) +(?:pub )?(\w+): ([\w:<>]+),", body):
            if "flatten" in attributes:
                found |= flags(structs[kind])
            if re.search(r"\blong\b", attributes):
                found.add("--" + name.replace("_", "-"))
            if given := re.search(r"\bshort(?: = '(.)')?", attributes):
                found.add("-" + (given[1] or name[0]))
        return found

    enum = source.split("pub enum Command {")[1].split("\n}\n")[0]
    commands = {}
    for name, kind, body in re.findall(r"^    (\w+)(?:\((\w+)\)| \{(.*?)\n    \}),", enum, re.M | re.S):
        commands[name.lower()] = flags(structs[kind] if kind else body)
    return commands, flags(structs["Connection"]) | {"--version", "-V"}


@functools.cache
def resource_words():
    """What kubectl calls the resource: kind, plural, short name."""
    source = read("src/api/spec.rs")
    return {re.search(rf'{key} = "(\w+)"', source)[1].lower() for key in ("kind", "plural", "shortname")}


@functools.cache
def fields():
    """Every field of the resource, as docs/reference.md lists it (which is made from the definition)."""
    found, part = {"spec", "status"}, ""
    for line in read("docs/reference.md").splitlines():
        if heading := re.match(r"## (spec|status)", line):
            part = heading[1]
        elif line.startswith("## "):
            part = ""
        elif (row := re.match(r"\| `([\w.\[\]]+)` \|", line)) and part:
            found.add(f"{part}.{row[1]}".replace("[]", ""))
    return found


@functools.cache
def free_form():
    """Fields below which anything may stand."""
    rows = re.findall(r"^\| `([\w.\[\]]+)` \| ([^|]*)\|", read("docs/reference.md"), re.M)
    return {name.replace("[]", "") for name, kind in rows if re.search(r"map of|as in Kubernetes", kind)} | {"podOverrides"}


def is_field(path):
    """Whether the resource has the field `spec.…` or `status.…`."""
    path = re.sub(r"\[[^\]]*\]", "", path)
    inner = path.partition(".")[2]
    return path in fields() or any(inner.startswith(free + ".") for free in free_form())
