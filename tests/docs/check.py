#!/usr/bin/env python3
"""Holds the documents against the repository: commands, paths, values of charts, fields, annotations, links.

    check.py               every Markdown file, and the comments of the examples
    check.py --self-test   that what is wrong is noticed
"""

import json
import re
import shlex
import sys
from pathlib import Path

import known
import markdown

# Documents that say the same in two languages.
PAIRS = [
    ("README.md", "README.zh-CN.md"),
    ("docs/kubesphere.md", "docs/kubesphere.zh-CN.md"),
    ("charts/redis-replication/README.md", "charts/redis-replication/README.zh-CN.md"),
    ("kubesphere/extension/README.md", "kubesphere/extension/README_zh.md"),
    ("kubesphere/extension/CHANGELOG.md", "kubesphere/extension/CHANGELOG_zh.md"),
]
TOPS = "charts|core|crds|docs|drill|formats|manifests|tests|test-support|plugin|src|kubesphere|bench"
SOURCES = "api|kubernetes|objects|operator|redis"  # folders in src/
KUBERNETES = set(
    "pod pods node nodes namespace namespaces service services svc secret secrets configmap configmaps statefulset "
    "statefulsets deployment deployments pvc pdb crd lease leases events endpointslices".split()
)
VERBS_WITH_TYPE = set(
    "get describe delete scale annotate patch wait explain edit label create exec port-forward rollout".split()
)
VALUED = {"-n", "--namespace", "-o", "--output", "-l", "-c", "--type", "--for", "--timeout", "-p", "--replicas", "--tail"}


def segments(command):
    """The simple commands of a line of shell, each as words; those in `$(…)` too. Raises ValueError."""
    lexer = shlex.shlex(command.replace("…", " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found, words, skip = [], [], False
    for token in lexer:
        if inner := re.search(r"\$\((.*)\)", token):
            found += segments(inner[1])
        if token in {">", ">>", "<", "<<", ">&"}:
            skip = True  # a file
        elif set(token) <= set("();<>|&"):
            found, words = [*found, words], []
        elif not skip:
            words.append(token)
        else:
            skip = False
    for words in [*found, words]:
        while words and re.fullmatch(r"\w+=.*|\$", words[0]):  # DURATION=14 make …
            words = words[1:]
        if words:
            yield words


def check_command(command, beside=""):
    """What is wrong with a line of shell; `beside`: the folder of the document, for examples that name each other."""
    try:
        simple = list(segments(command))
    except ValueError as error:
        return [f"cannot be read as shell: {error}"]
    faults = []
    for words in simple:
        faults += [f"there is no {w}" for w in words if re.match(rf"({TOPS})/", w) and not known.is_there(w)]
        if words[0].startswith("--set"):
            faults += check_helm(["helm", "upgrade", *words])
        elif check := {"make": check_make, "helm": check_helm, "cargo": check_cargo}.get(words[0]):
            faults += check(words)
        elif words[:2] == ["kubectl", "rr"]:
            faults += check_plugin(words[2:])
        elif words[0] == "kubectl":
            faults += check_kubectl(words[1:], beside)
    return faults


def check_make(words):
    faults = []
    for word in words[1:]:
        name, is_set, value = word.partition("=")
        if is_set and not known.is_variable(name):
            faults.append(f"make knows no {name}")
        elif name == "CLUSTER" and value not in {"local", "kind", "current"}:
            faults.append(f"make knows no CLUSTER={value}")
        elif not is_set and not word.startswith("-") and word not in known.make_targets():
            faults.append(f"make has no target {word}")
    return faults


def check_cargo(words):
    tests = [name for flag, name in zip(words, words[1:]) if flag == "--test"]
    return [f"there is no test {t}" for t in tests if not {f"tests/{t}.rs", f"tests/{t}/main.rs"} & known.files()]


def check_helm(words):
    """Its chart is there, and has the values that are set."""
    faults, schemas = [], [schema for _, _, schema in known.charts().values()]
    for word in words[1:]:
        if made := re.fullmatch(r"build/kubesphere/(.+)-(\d+\.\d+\.\d+)\.tgz", word):
            word = f"charts/{made[1]}"
            if made[1] not in known.charts() or known.charts()[made[1]][1] != made[2]:
                faults.append(f"make kubesphere builds no {made[0]}")
        for folder, _, schema in known.charts().values():
            if word == folder:
                schemas = [schema]
    for flag, setting in zip(words, words[1:]):
        if flag in {"--set", "--set-string"}:
            for key in (part.partition("=")[0] for part in re.split(r"(?<!\\),", setting)):
                if not any(known.has_value(schema, key) for schema in schemas):
                    faults.append(f"the chart has no value {key}")
    return faults


def check_plugin(words):
    commands, everywhere = known.plugin()
    if "--" in words:
        words = words[: words.index("--")]
    values = {i + 1 for i, word in enumerate(words) if word in {"-n", "--namespace", "--context", "--kubeconfig"}}
    names = [word for i, word in enumerate(words) if not word.startswith("-") and i not in values]
    flags = [w.partition("=")[0] for w in words if w.startswith("-")]
    if names and names[0] not in commands:
        return [f"kubectl rr has no command {names[0]}"]
    allowed = everywhere | (commands[names[0]] if names else set())
    return [f"kubectl rr {' '.join(names[:1])} has no {flag}" for flag in flags if flag not in allowed]


def check_kubectl(words, beside):
    faults, places = [], []
    values = {}
    rest = iter(words[: words.index("--")] if "--" in words else words)
    for word in rest:
        flag, is_set, value = word.partition("=")
        if flag in VALUED | {"-f", "-k", "--filename"}:
            values[flag] = value if is_set else next(rest, "")
        elif not word.startswith("-"):
            places.append(word)
    for flag in ("-f", "--filename", "-k"):
        if (file := values.get(flag, "-")) != "-" and not known.is_there(file) and not known.is_there(f"{beside}/{file}"):
            faults.append(f"there is no {file}")
    verb, named = (places or [""])[0], places[1:]
    if verb == "rollout":
        named = named[1:]
    if verb not in VERBS_WITH_TYPE or not named or (verb == "exec" and "/" not in named[0]):
        return faults
    types = [t for t in re.split(r"[./]", named[0])[0].split(",") if t.islower()]
    faults += [f"kubectl {verb}: no resource {t} is known" for t in types if t not in KUBERNETES | known.resource_words()]
    if known.resource_words() & set(types):
        faults += check_fields(verb, named, values)
    return faults


def check_fields(verb, named, values):
    """The fields of the resource that a command asks for, or patches."""
    asked = re.findall(r"\.((?:spec|status)[\w.]*)", values.get("-o", "") + values.get("--for", ""))
    if verb == "explain":
        asked.append(named[0].partition(".")[2] or "spec")
    if verb == "patch":
        try:
            asked += leaves(json.loads(values["-p"]))
        except (KeyError, ValueError):
            return ["the patch is no JSON"]
    return [f"there is no field {field}" for field in asked if not known.is_field(field)]


def leaves(value, path=""):
    if not isinstance(value, dict):
        return [path]
    return [leaf for key, inner in value.items() for leaf in leaves(inner, f"{path}.{key}" if path else key)]


def check_text(name, text):
    """What is wrong with a Markdown file: (line, fault)."""
    folder = str(Path(name).parent)
    for line, command in markdown.commands(text):
        yield from ((line, f"{fault}: {command}") for fault in check_command(command, folder))
    for code in markdown.codes(text)[0]:
        if code.span:
            yield from ((code.line, fault) for fault in check_span(code.text, name))
    yield from check_names(text)
    for line, target in markdown.links(text):
        if fault := check_link(name, text, target):
            yield line, fault


def check_span(span, name):
    """A path, a field of the resource, a chart's value, or, on the plugin's page, a flag."""
    path = re.fullmatch(rf"((?:{TOPS}|{SOURCES})/[\w./*-]*\w\.\w+)(::\w+)?", span)
    if path and not known.is_there(path[1]) and not known.is_there(f"src/{path[1]}"):
        yield f"there is no {path[1]}"
    if re.fullmatch(r"(spec|status)\.[\w.\[\]]+", span) and not known.is_field(span):
        yield f"there is no field {span}"
    setting = re.fullmatch(r"([a-z]\w*(?:\.[A-Za-z]\w*)+)(?:[:=] ?.*)?", span)
    if setting and known.is_setting(setting[1]) is False:
        yield f"neither the spec nor a chart has {setting[1]}"
    if name == "docs/kubectl-rr.md" and (flag := re.match(r"--\w[\w-]*", span)):
        commands, everywhere = known.plugin()
        if flag[0] not in everywhere.union(*commands.values()):
            yield f"kubectl rr has no {flag[0]}"


def check_names(text):
    """Annotations and labels of the project."""
    source = known.text_of("core/src/", "src/", "crds/", "charts/")
    for found in re.finditer(r"redis\.replication\.dev/[a-z0-9-]+", text):
        if not re.search(re.escape(found[0]) + r"(?![a-z0-9-])", source):
            yield text.count("\n", 0, found.start()) + 1, f"nothing in the source is called {found[0]}"


def check_link(name, text, target):
    path, _, anchor = target.partition("#")
    there = text
    if path:
        file = Path(known.ROOT, name).parent.joinpath(path).resolve()
        if not file.is_relative_to(known.ROOT) or not known.is_there(str(file.relative_to(known.ROOT))):
            return f"the link leads nowhere: {target}"
        there = file.read_text(encoding="utf-8") if anchor else ""
    if anchor and anchor not in markdown.anchors(there):
        return f"no heading has this anchor: {target}"
    return None


def check_example(name):
    """The commands in the comments of an example."""
    for number, line in enumerate(known.read(name).splitlines(), 1):
        command = line.removeprefix("#").strip()
        if line.startswith("#   ") and command.split()[0] in markdown.PROGRAMS:
            yield from ((number, fault) for fault in check_command(command, str(Path(name).parent)))


def check_pair(first, second):
    """Two documents that say the same in two languages: the same headings, blocks, tables and links."""
    def shape(text):
        blocks = [re.sub(r" +# .*", "", c.text) + c.mark for c in markdown.codes(text)[0] if not c.span]
        rows = len(re.findall(r"^\|", text, re.M))
        linked = sorted(t.partition("#")[0].replace(".zh-CN.md", ".md") for _, t in markdown.links(text))
        return {"headings": [level for level, _ in markdown.headings(text)], "blocks of code": blocks,
                "rows of tables": rows, "links": linked}
    one, other = shape(first), shape(second)
    return [f"the other language has other {what}: {difference(one[what], other[what])}"
            for what in one if one[what] != other[what]]


def difference(one, other):
    if not isinstance(one, list):
        return f"{one} and {other}"
    return next((f"{a!r} and {b!r}" for a, b in zip(one, other) if a != b), f"{len(one)} and {len(other)}")


def check_all():
    """Every fault, as `file:line: fault`; and what was looked at."""
    faults, looked = [], 0
    for name in known.documents(r".*\.md"):
        text = known.read(name)
        looked += len(list(markdown.commands(text)))
        faults += [f"{name}:{line}: {fault}" for line, fault in check_text(name, text)]
    for name in known.documents(r"manifests/examples/.*\.yaml"):
        faults += [f"{name}:{line}: {fault}" for line, fault in check_example(name)]
    for first, second in PAIRS:
        faults += [f"{second}: {fault}" for fault in check_pair(known.read(first), known.read(second))]
    return faults, looked


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        import self_test

        sys.exit(self_test.run())
    all_faults, commands_seen = check_all()
    print("\n".join(all_faults) or f"{commands_seen} commands")
    sys.exit(bool(all_faults) or commands_seen < 100)
