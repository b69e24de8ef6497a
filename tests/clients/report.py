#!/usr/bin/env python3
"""round OUTPUT CRASH SWITCHOVER LOAD: what a client went through, one line of JSON; fails if it did not go on.
table ROUNDS: the medians of all rounds, as a table. Times are milliseconds since 1970."""

import json
import statistics
import sys


def part(lines, name):
    """The longest gap of a part, which must end with writes."""
    if len(lines) < 2 or lines[-1]["writes"] <= lines[-2]["writes"]:
        sys.exit(f"it did not go on writing after the {name}")
    return max(line["longestGapMs"] for line in lines)


def round_(output, crash, switchover, load):
    lines = [json.loads(line) for line in open(output)]
    account = lines.pop()
    if not any(line["at"] <= int(crash) for line in lines):
        sys.exit("the master was killed before the client wrote")
    first = [line for line in lines if int(crash) < line["at"] <= int(switchover)]
    second = [line for line in lines if int(switchover) < line["at"]]
    account |= {"crash": part(first, "crash"), "switchover": part(second, "switchover"), "load": float(load)}
    account["crashErrors"] = first[-1]["errors"]
    account["switchoverErrors"] = account["errors"] - first[-1]["errors"]
    print(json.dumps(account))


def table(rounds):
    by_client = {}
    for line in open(rounds):
        row = json.loads(line)
        by_client.setdefault((row["client"], row["version"]), []).append(row)
    print("| client | rounds | crash: gap, ms | errors | switchover: gap, ms | errors | lost | load |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")

    def median(rows, name, spread=True):
        values = sorted(row[name] for row in rows)
        middle = f"{statistics.median(values):g}"
        return f"{middle} ({values[0]}–{values[-1]})" if spread and len(values) > 1 else middle

    for (client, version), rows in by_client.items():
        cells = [median(rows, "crash"), median(rows, "crashErrors", False), median(rows, "switchover"),
                 median(rows, "switchoverErrors", False), sum(row["lost"] for row in rows), median(rows, "load", False)]
        print("|", " | ".join(map(str, [f"{client} {version}", len(rows), *cells])), "|")


{"round": round_, "table": table}[sys.argv[1]](*sys.argv[2:])
