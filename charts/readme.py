#!/usr/bin/env python3
"""Writes the tables of values in the charts' READMEs from the comments in values.yaml.

    charts/readme.py            write them
    charts/readme.py --check    only say, by the exit code, whether they are as they should be

The comment right above a key describes it; a comment with a blank line below it is for readers of values.yaml. A README
has the table between the lines `<!-- values -->` and `<!-- /values -->`. For README.zh-CN.md the texts are in
values.zh-CN.tsv: a key, a tab, its description.
"""

import pathlib
import re
import sys

CHARTS = pathlib.Path(__file__).resolve().parent
KEY = re.compile(r"^( *)([A-Za-z][\w./-]*):(?: +(.*?))?\s*$")
HEADS = {"README.md": ("value", "default", "what it is"), "README.zh-CN.md": ("参数", "默认值", "说明")}


class Wrong(Exception):
    """Something that a person has to mend; the text says what."""


def rows(text):
    """(path, default or None, description) for each key that has a value of its own or a description."""
    above, comment = [], []
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if bare.startswith("#"):
            comment.append(bare.lstrip("#").strip())
            continue
        key = KEY.match(line)
        if bare and not key:
            raise Wrong(f"line {number} is neither a comment nor `key: value`: {bare}")
        if key:
            indent, name, value = len(key[1]), key[2], key[3]
            above = [(i, n) for i, n in above if i < indent] + [(indent, name)]
            if value is not None or comment:
                yield ".".join(n for _, n in above), value, " ".join(comment)
        comment = []


def table(values, language, texts):
    lines = ["| " + " | ".join(HEADS[language]) + " |", "|---|---|---|"]
    left = dict(texts or {})
    described = ()
    for path, default, description in rows(values):
        if not description and not any(path.startswith(f"{parent}.") for parent in described):
            raise Wrong(f"{path} has no comment")
        if description:
            described += (path,)
            if texts is not None:
                description = left.pop(path, None)
                if not description:
                    raise Wrong(f"{path} has no text in values.zh-CN.tsv")
        default = "" if default is None else f"`{default}`"
        description = description.replace("|", "\\|")
        lines.append(f"| `{path}` | {default} | {description} |".replace("  ", " "))
    if left:
        raise Wrong(f"values.zh-CN.tsv has texts for what is not there: {', '.join(left)}")
    return "\n".join(lines)


def translations(chart):
    lines = (chart / "values.zh-CN.tsv").read_text().splitlines()
    return dict(line.split("\t", 1) for line in lines if line)


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    stale = []
    for readme in sorted(CHARTS.glob("*/README*.md")):
        chart = readme.parent
        texts = translations(chart) if readme.name.endswith("zh-CN.md") else None
        old = readme.read_text()
        try:
            made = table((chart / "values.yaml").read_text(), readme.name, texts)
            parts = re.split(r"(?s)(?<=<!-- values -->\n).*?(?=<!-- /values -->)", old)
            if len(parts) != 2:
                raise Wrong("there must be one pair of `<!-- values -->` and `<!-- /values -->`")
        except Wrong as wrong:
            sys.exit(f"{readme.relative_to(CHARTS.parent)}: {wrong}")
        new = f"{parts[0]}\n{made}\n\n{parts[1]}"
        if new != old:
            stale.append(str(readme.relative_to(CHARTS.parent)))
            if not check:
                readme.write_text(new)
    if check and stale:
        sys.exit(f"run charts/readme.py: not what values.yaml says: {', '.join(stale)}")


main()
