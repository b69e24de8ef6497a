#!/usr/bin/env python3
"""Asks a Prometheus that scrapes a real replication everything that the dashboard and the alerts ask.

    check.py URL NAMESPACE NAME SECONDS

Every expression of the dashboard must have data within so many seconds. Every alert must be understood, have the metrics
that it speaks of, and must not fire.
"""
import re
import sys
import time

from api import Prometheus, panels

# Words in an expression that look like our metrics.
METRIC = re.compile(r"\bredis_[a-z_]+")


def without_data(prometheus, namespace, name):
    for panel, targets in panels(namespace, name):
        for expression, _ in targets:
            if not prometheus.query(expression):
                yield f"panel {panel['title']}: no data for {expression}"


# There is a series only for each object that is in trouble.
ONLY_IN_TROUBLE = {"redis_replication_undecodable"}


def faults_of_alerts(prometheus, namespace, name):
    rules = [rule for group in prometheus.get("rules", type="alert")["groups"] for rule in group["rules"]]
    if len(rules) < 10:
        yield f"only {len(rules)} alerts are loaded"
    for rule in rules:
        if rule["health"] != "ok":
            yield f"alert {rule['name']}: {rule['health']} {rule.get('lastError', '')}"
        for metric in METRIC.findall(rule["query"]):
            if metric not in ONLY_IN_TROUBLE and not prometheus.query(metric):
                yield f"alert {rule['name']}: there is no metric {metric}"
        for alert in rule["alerts"]:
            labels = alert["labels"]
            ours = "name" not in labels or (labels["namespace"], labels["name"]) == (namespace, name)
            if ours and alert["state"] == "firing":
                yield f"alert {rule['name']} fires, and all is well"


def main():
    url, namespace, name, seconds = sys.argv[1:]
    prometheus, end = Prometheus(url), time.monotonic() + float(seconds)
    asked = sum(len(targets) for _, targets in panels(namespace, name))
    while True:
        faults = [*without_data(prometheus, namespace, name), *faults_of_alerts(prometheus, namespace, name)]
        if not faults:
            print(f"{asked} expressions of the dashboard have data, and the alerts have their metrics")
            return
        if time.monotonic() > end:
            sys.exit("\n".join(faults))
        time.sleep(1)


main()
