#!/usr/bin/env python3
"""Builds what is uploaded to KubeSphere, into build/kubesphere: the extension of the operator, and the app template of the
chart redis-replication. check.py then looks at both. Needs helm."""

import base64
import json
import pathlib
import re
import shutil
import sys

from yaml_by_helm import document, helm

HERE = pathlib.Path(__file__).resolve().parent
CHARTS = HERE.parent / "charts"
OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent / "build" / "kubesphere")

# The console has one description and one README for all languages of an app template.
APP_DESCRIPTION = "Redis 或 Valkey 一主多从，自动故障切换，无需 Sentinel / Redis or Valkey with replicas and failover, without Sentinel"


def chart_yaml(extension, directory):
    """The Chart.yaml that ksbuilder would make of extension.yaml. JSON is YAML."""
    icon = (directory / extension["icon"]).read_bytes()
    kept = ("name", "version", "keywords", "home", "sources", "kubeVersion", "maintainers", "dependencies", "annotations")
    chart = {key: extension[key] for key in kept if key in extension}
    chart["apiVersion"] = "v2"
    chart["description"] = extension["description"]["en"]
    chart["icon"] = "data:image/svg+xml;base64," + base64.b64encode(icon).decode()
    return json.dumps(chart, ensure_ascii=False, indent=2) + "\n"


def extension(work):
    top = work / "redis-replication-operator"
    shutil.copytree(HERE / "extension", top)
    operator = top / "charts" / "redis-replication-operator"
    shutil.copytree(CHARTS / "redis-replication-operator", operator)
    # Helm never changes what is in crds/; from files/ the chart's own template takes it, with crds.install.
    (operator / "crds" / "redisreplications.yaml").rename(operator / "files" / "redisreplications.yaml")
    (operator / "crds").rmdir()
    (top / "Chart.yaml").write_text(chart_yaml(document((top / "extension.yaml").read_text()), top))
    helm("package", str(top), "--destination", str(OUT))


def app(work):
    top = work / "redis-replication"
    shutil.copytree(CHARTS / "redis-replication", top)
    chart = document((top / "Chart.yaml").read_text())
    chart["description"] = APP_DESCRIPTION
    # As the console itself stores an icon that is uploaded; it puts "data:image/..." before it.
    chart["icon"] = base64.b64encode((top / "icon.png").read_bytes()).decode()
    (top / "Chart.yaml").write_text(json.dumps(chart, ensure_ascii=False, indent=2) + "\n")
    chinese, english = ((top / name).read_text() for name in ("README.zh-CN.md", "README.md"))
    (top / "README.md").write_text(f"{relative(chinese)}\n---\n\n{relative(english)}")
    (top / "README_zh.md").write_text(relative(chinese))
    (top / "README.zh-CN.md").unlink()
    shutil.copy(top / "icon.png", OUT / "icon.png")
    helm("package", str(top), "--destination", str(OUT))


def relative(readme):
    """Without links that lead nowhere in an archive: `[text](path)` becomes `text`."""
    return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", readme)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    work = OUT / "work"
    work.mkdir(parents=True)
    extension(work)
    app(work)
    shutil.rmtree(work)


main()
