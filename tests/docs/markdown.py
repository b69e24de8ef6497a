#!/usr/bin/env python3
"""What a Markdown file holds: commands, links, headings. As a program it prints the commands that a mark names.

    markdown.py FILE MARK    of each block after <!-- run: MARK; prints: WORDS --> the lines `run COMMAND`, and `prints WORDS`
"""

import re
import sys
from dataclasses import dataclass

PROGRAMS = {"make", "helm", "kubectl", "docker", "redis-cli", "cargo", "ksbuilder", "sed", "export"}
SHELL = {"sh", "bash"}  # languages of blocks in which every line is a command


@dataclass(frozen=True)
class Code:
    """One piece of code: a block, or a span within a line."""

    line: int
    text: str
    language: str = ""
    mark: str = ""
    span: bool = False


def codes(text):
    """Every piece of code of a Markdown file, and the text without them."""
    found, rest, block, mark = [], [], None, ""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        fence = re.match(r"\s*```(\S*)", line)
        indented = line.startswith("    ") and (block or not (rest and rest[-1].strip()))
        if block and block[1] is not None:  # in a fence
            if fence:
                found.append(Code(block[0], "\n".join(block[2]), block[1], mark))
                block, mark = None, ""
            else:
                block[2].append(line)
            rest.append("")
        elif fence:
            block = (number + 1, fence[1], [])
            rest.append("")
        elif indented:
            block = block or (number, None, [])
            block[2].append(line[4:])
            rest.append("")
        else:
            if block:
                found.append(Code(block[0], "\n".join(block[2])))
                block = None
            if run := re.match(r"<!-- run: (.+?) -->", line):
                mark = run[1]
            rest.append(line)
    if block:
        found.append(Code(block[0], "\n".join(block[2]), block[1] or "", mark))
    prose = "\n".join(rest)
    for span in re.finditer(r"`([^`]+)`", prose):  # one may go on in the next line
        number = prose.count("\n", 0, span.start()) + 1
        found.append(Code(number, " ".join(span[1].split()).replace("\\|", "|"), span=True))
    return found, re.sub(r"`[^`]+`", "code", prose)


def commands(text):
    """The commands of a Markdown file: (line, command). In a block without a language those are the lines that begin with
    `$ `, or else with the name of a program or an assignment."""
    for code in codes(text)[0]:
        if code.span:
            if code.text.split()[0] in PROGRAMS and " " in code.text or code.text.startswith("--set "):
                yield code.line, code.text
            continue
        if code.language not in SHELL | {""}:
            continue
        prompt = "$ " if re.search(r"^\$ ", code.text, re.M) else ""
        for offset, line in logical_lines(code.text):
            command = line.removeprefix("$ ")
            known = command.split()[0] in PROGRAMS or re.match(r"\w+=", command)
            if code.language in SHELL or (line.startswith(prompt) and known):
                yield code.line + offset, command


def logical_lines(text):
    """Lines, with those that a `\\` or a `|` at the end continues put together: (offset of the first, line)."""
    start, whole = 0, ""
    for offset, line in enumerate(text.splitlines()):
        start = start if whole else offset
        whole += line.strip() if whole else line.rstrip()
        if whole.endswith("\\"):
            whole = whole[:-1]
        elif whole.endswith("|"):
            whole += " "
        else:
            if whole.strip() and not whole.lstrip().startswith("#"):
                yield start, whole
            whole = ""
    if whole.strip():
        yield start, whole


def links(text):
    """Links and images to other files or places of this one: (line, target)."""
    prose = re.sub(r"`[^`\n]+`", "code", codes_removed(text))
    for link in re.finditer(r"\]\(([^)\s]+)\)", prose):
        if not re.match(r"[a-z]+:", link[1]):
            yield prose.count("\n", 0, link.start()) + 1, link[1]


def codes_removed(text):
    """The text with its blocks emptied; spans stay."""
    out, fenced = [], False
    for line in text.splitlines():
        fence = re.match(r"\s*```", line)
        out.append("" if fenced or fence else line)
        fenced ^= bool(fence)
    return "\n".join(out)


def headings(text):
    """(level, title) of each heading."""
    return [(len(h[1]), h[2].strip()) for h in re.finditer(r"^(#+) (.+)$", codes_removed(text), re.M)]


def anchors(text):
    """What a link can name behind `#`, as GitHub makes it from headings."""
    made = []
    for _, title in headings(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        made.append(slug if slug not in made else f"{slug}-{made.count(slug)}")
    return made


def marked(text, name):
    """The blocks that a mark names: (commands, the words that they must print)."""
    for code in codes(text)[0]:
        mark, _, prints = code.mark.partition("; prints: ")
        if mark == name:
            yield [line for _, line in logical_lines(code.text)], prints


if __name__ == "__main__":
    file, mark = sys.argv[1:]
    with open(file, encoding="utf-8") as document:
        blocks = list(marked(document.read(), mark))
    for block_commands, words in blocks:
        print(*(f"run {command}" for command in block_commands), f"prints {words}", sep="\n")
    sys.exit(not blocks)
