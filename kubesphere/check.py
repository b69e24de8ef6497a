#!/usr/bin/env python3
"""Checks archives for KubeSphere 4 against its published rules: an extension if there is an extension.yaml in it, else an
app template. README.md says where each rule comes from. Needs helm.

    kubesphere/check.py ARCHIVE.tgz...
"""

import base64
import binascii
import json
import re
import struct
import sys
import tarfile

from rights import missing_rights
from yaml_by_helm import Unreadable, document, documents, helm

MEGABYTE = 1024 * 1024
SEMVER = re.compile(r"v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
DNS = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LANGUAGE = re.compile(r"[a-z]{2}")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
ENGLISH = re.compile(r"[A-Za-z]{4,}")
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "Pod")


class Package:
    """An archive, and what is wrong with it."""

    def __init__(self, path):
        self.path, self.wrong, self.files, self.size = path, [], {}, 0
        with tarfile.open(path, "r:gz") as archive:
            for member in archive.getmembers():
                if not member.isdir():
                    read = archive.extractfile(member)
                    self.expect(read, "E1", f"{member.name} is no plain file")
                    self.files[member.name] = read.read() if read else b""
        with open(path, "rb") as file:
            self.size = len(file.read())
        tops = {name.split("/", 1)[0] for name in self.files}
        self.top = tops.pop() if len(tops) == 1 else ""
        self.expect(self.top, "E1", f"one directory must be at the top of the archive, there are: {sorted(tops)}")
        self.files = {name[len(self.top) + 1 :]: data for name, data in self.files.items()}

    def expect(self, condition, rule, words):
        if not condition:
            self.wrong.append(f"{rule}: {words}")
        return bool(condition)

    def text(self, name):
        return self.files.get(name, b"").decode("utf-8", "replace")

    def has(self, rule, *names):
        return all([self.expect(self.text(name).strip(), rule, f"{name} is missing or empty") for name in names])

    def read(self, rule, name):
        if not self.has(rule, name):
            return {}
        try:
            return document(self.text(name))
        except Unreadable as error:
            self.expect(False, rule, f"{name}: {error}")
            return {}

    def render(self, rule, *arguments):
        try:
            return documents(helm("template", "check", self.path, "--namespace", "check", "--include-crds", *arguments))
        except Unreadable as error:
            self.expect(False, rule, f"helm template {' '.join(arguments)}: {error}")
            return []


def bilingual(package, rule, what, value):
    value = value if isinstance(value, dict) else {}
    for language in ("en", "zh"):
        package.expect(value.get(language), rule, f"{what} has no text in {language}")
    for language in value:
        package.expect(LANGUAGE.fullmatch(language), rule, f"{what}: {language} is no ISO 639-1 code")


def check_extension(package):
    meta = package.read("E2", "extension.yaml")
    if not meta:
        return
    for key in ("apiVersion", "name", "version", "displayName", "description", "category", "provider", "icon"):
        package.expect(meta.get(key), "E2", f"extension.yaml has no {key}")
    name, version = str(meta.get("name", "")), str(meta.get("version", ""))
    usable = DNS.fullmatch(name) and len(name) <= 32
    package.expect(usable, "E3", f"the name {name!r} must be a DNS name of 32 characters at most")
    package.expect(package.top == name, "E3", f"the directory is called {package.top!r}, the extension {name!r}")
    usable = SEMVER.fullmatch(version) and DNS.fullmatch(version) and len(version) <= 63
    package.expect(usable, "E4", f"the version {version!r} must be a semantic version without '+'")
    for key in ("displayName", "description", "provider"):
        bilingual(package, "E5", key, meta.get(key))
    chart = package.read("E6", "Chart.yaml")
    description = (meta.get("description") or {}).get("en")
    expected = {"name": name, "version": version, "kubeVersion": meta.get("kubeVersion"), "description": description}
    for key, value in expected.items():
        words = f"{key} is {chart.get(key)!r} in Chart.yaml and {value!r} in extension.yaml"
        package.expect(chart.get(key) == value, "E6", words)
    icon = str(meta.get("icon", ""))
    there = re.match("https?://|data:image", icon) or icon.removeprefix("./") in package.files
    package.expect(there, "E7", f"the icon {icon} is neither in the package nor an address")
    for screenshot in meta.get("screenshots", []):
        there = re.match("https?://", screenshot) or screenshot.removeprefix("./") in package.files
        package.expect(there, "E7", f"the screenshot {screenshot} is neither in the package nor an address")
    package.has("E8", "README.md", "README_zh.md", "CHANGELOG.md", "CHANGELOG_zh.md", "values.yaml")
    for chinese in ("README_zh.md", "CHANGELOG_zh.md"):
        package.expect(CHINESE.search(package.text(chinese)), "E8", f"{chinese} is not in Chinese")
    package.expect(package.size <= MEGABYTE, "E9", f"{package.size} bytes are more than a megabyte")
    mode = meta.get("installationMode", "HostOnly")
    package.expect(mode in ("HostOnly", "Multicluster"), "E10", f"installationMode {mode}: HostOnly or Multicluster")
    for dependency in meta.get("dependencies", []):
        check_dependency(package, dependency)
    for key in ("kubeVersion", "ksVersion"):
        package.expect(re.fullmatch(r"[<>=~^ 0-9.,|xX*v-]+", str(meta.get(key, "*"))), "E10", f"{key} is no range of versions")
    check_extension_objects(package, meta)


def check_dependency(package, dependency):
    name, tags = dependency.get("name", ""), dependency.get("tags", [])
    chart = package.read("E10", f"charts/{name}/Chart.yaml")
    wanted = dependency.get("version", chart.get("version"))
    words = f"charts/{name} has the version {chart.get('version')}, wanted is {wanted}"
    package.expect(chart.get("version") == wanted, "E10", words)
    right = tags and set(tags) <= {"agent", "extension"}
    package.expect(right, "E10", f"the dependency {name} needs the tag agent or extension")


def check_extension_objects(package, meta):
    permissions = []
    if package.has("E11", "permissions.yaml"):
        try:
            permissions = documents(package.text("permissions.yaml"))
        except Unreadable as error:
            package.expect(False, "E11", f"permissions.yaml: {error}")
    for role in permissions:
        right = role.get("kind") in ("ClusterRole", "Role")
        package.expect(right, "E11", f"permissions.yaml: {role.get('kind')} is neither ClusterRole nor Role")
        for rule in role.get("rules", []):
            wild = [part for part in ("apiGroups", "resources", "verbs") if "*" in rule.get(part, [])]
            package.expect(not wild, "E11", f"permissions.yaml: '*' in {', '.join(wild)} of {json.dumps(rule)}")
    registry, label = "registry.check.example", "label.check.example"
    arguments = ["--set", f"global.imageRegistry={registry},global.nodeSelector.{label.replace('.', chr(92) + '.')}=yes"]
    for tag, other in (("agent", "extension"), ("extension", "agent")):
        objects = package.render("E12", *arguments, "--set", f"tags.{tag}=true,tags.{other}=false")
        for lack in missing_rights(objects, permissions):
            package.expect(False, "E11", f"permissions.yaml does not let the installation {lack}")
        for one in objects:
            check_workload(package, one, registry, label)
            if one["kind"] == "CustomResourceDefinition":
                kept = one["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
                package.expect(kept, "E14", f"{one['metadata']['name']} must be a template with helm.sh/resource-policy: keep")
    plain = package.render("E12", "--set", "tags.agent=true,tags.extension=true")
    used = {container["image"] for one in plain for container in containers(one)}
    for image in meta.get("images", []):
        package.expect(image in used, "E13", f"images names {image}, used are {sorted(used)}")
    for image in used - set(meta.get("images", [])):
        package.expect(False, "E13", f"images does not name {image}")


def pod_spec(one):
    if one["kind"] not in WORKLOADS:
        return {}
    return one["spec"] if one["kind"] == "Pod" else one["spec"]["template"]["spec"]


def containers(one):
    spec = pod_spec(one)
    return spec.get("initContainers", []) + spec.get("containers", [])


def check_workload(package, one, registry, label):
    who = f"{one['kind']} {one['metadata']['name']}"
    for container in containers(one):
        words = f"global.imageRegistry does not reach {who}: {container['image']}"
        package.expect(registry in container["image"], "E12", words)
    if pod_spec(one):
        package.expect(label in pod_spec(one).get("nodeSelector", {}), "E12", f"global.nodeSelector does not reach {who}")


def check_app(package):
    package.has("A1", "Chart.yaml", "values.yaml")
    package.expect(any(name.startswith("templates/") for name in package.files), "A1", "there are no templates/")
    package.expect(package.size <= MEGABYTE, "A2", f"{package.size} bytes are more than a megabyte")
    chart = package.read("A1", "Chart.yaml")
    version = str(chart.get("version", ""))
    package.expect(SEMVER.fullmatch(version), "A1", f"the version {version!r} is no semantic version")
    package.has("A3", "README.md")
    for what, text in (("README.md", package.text("README.md")), ("the description", str(chart.get("description", "")))):
        both = CHINESE.search(text) and ENGLISH.search(text)
        package.expect(both, "A3", f"{what} must be in both languages: the console has one for all")
    check_app_icon(package, str(chart.get("icon", "")))
    check_form(package)
    for one in package.render("A6"):
        mine = "namespace" in one["metadata"]
        package.expect(mine, "A6", f"{one['kind']} {one['metadata']['name']} is in no namespace: projects may not make it")


def check_app_icon(package, icon):
    if re.match("https?://", icon):
        return
    try:
        image = base64.b64decode(icon, validate=True)
    except (binascii.Error, ValueError):
        image = b""
    words = "the icon must be an address, or a PNG in base64 without 'data:' before it"
    if not package.expect(image.startswith(b"\x89PNG"), "A4", words):
        return
    width, height = struct.unpack(">II", image[16:24])
    package.expect(max(width, height) <= 512, "A4", f"the icon has {width} x {height} pixels, 512 x 512 are the most")
    package.expect(len(image) <= 20 * 1024, "A4", f"the icon has {len(image)} bytes, 20 KB are the most")


def check_form(package):
    """The console shows a field for what has `form: true`, and a heading for every object that is not behind a $ref."""
    try:
        schema = json.loads(package.text("values.schema.json") or "{}")
    except ValueError as error:
        package.expect(False, "A5", f"values.schema.json: {error}")
        return
    values = package.read("A1", "values.yaml")
    shown = form_fields(package, schema, values, ())
    words = "values.schema.json has no field with form: true, so the console shows an empty form"
    package.expect(shown or not schema, "A5", words)


def form_fields(package, schema, values, path):
    where = ".".join(path) or "the schema"
    if schema.get("type") == "object":
        shown = 0
        for name, inner in schema.get("properties", {}).items():
            inside = values.get(name) if isinstance(values, dict) else None
            shown += form_fields(package, inner, inside, (*path, name))
        if shown:
            package.expect(schema.get("title"), "A5", f"{where} has no title for its heading in the form")
        elif path and schema.get("properties"):
            package.expect(False, "A5", f"{where} would be a heading without fields; put it behind a $ref")
        return shown
    if not schema.get("form"):
        return 0
    editable = schema.get("type") in ("string", "integer")
    package.expect(editable, "A5", f"{where}: the form can edit strings and integers only")
    package.expect(schema.get("title"), "A5", f"{where} has no title")
    package.expect(values is not None, "A5", f"{where} is not in values.yaml, so the form shows no default")
    return 1


def main():
    if not sys.argv[1:]:
        sys.exit(__doc__)
    failed = False
    for path in sys.argv[1:]:
        try:
            package = Package(path)
        except (OSError, tarfile.TarError) as error:
            failed = True
            print(f"{path}: E1: no archive: {error}")
            continue
        kind = "extension" if "extension.yaml" in package.files else "app template"
        (check_extension if kind == "extension" else check_app)(package)
        for words in package.wrong:
            print(f"{path}: {words}")
        print(f"{path}: {kind}, {package.size} bytes, {len(package.wrong)} problems")
        failed |= bool(package.wrong)
    sys.exit(failed)


main()
