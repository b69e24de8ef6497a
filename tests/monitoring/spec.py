#!/usr/bin/env python3
"""Prints the spec of the one object of a kind among the YAML documents on standard input, as it stands there."""
import re
import sys

documents = re.split(r"(?m)^---$", sys.stdin.read())
[found] = [d for d in documents if re.search(rf"(?m)^kind: {sys.argv[1]}$", d)]
lines = found.split("\nspec:\n", 1)[1].splitlines()
print("\n".join(line.removeprefix("  ") for line in lines))
