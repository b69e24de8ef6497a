#!/usr/bin/env python3
"""Draws the dashboard as an SVG from what a Prometheus has measured in the last minutes.

    picture.py URL NAMESPACE NAME SECONDS >docs/dashboard.svg
"""
import html
import math
import re
import sys
import time

from api import Prometheus, panels

CELL, HEIGHT, LINE = 50, 18, 14
COLOURS = ["#a41e11", "#2f6f9f", "#3d7a3a", "#8a5a00", "#6a4c93", "#00707a", "#7a7a7a"]


def label(template, metric):
    return re.sub(r"\{\{(\w+)\}\}", lambda m: metric.get(m[1], ""), template).strip() or "all"


def number(value, unit):
    """As a person would write it."""
    if unit in ("bytes", "Bps"):
        for prefix in ("", "Ki", "Mi", "Gi"):
            if abs(value) < 1024 or prefix == "Gi":
                return (f"{value:.3g}" if value < 1000 else f"{value:.0f}") + f" {prefix}B" + ("/s" if unit == "Bps" else "")
            value /= 1024
    suffix = {"s": " s", "percent": " %", "ops": "/s", "reqps": "/s"}.get(unit, "")
    return f"{value:.3g}{suffix}" if value < 1000 else f"{value:.0f}{suffix}"


def text(x, y, words, size=11, colour="#333", anchor="start", weight="normal"):
    return (f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{html.escape(words)}</text>')


def stat(prometheus, panel, targets, x, y, width):
    expression, template = targets[0]
    found = prometheus.query(expression)
    defaults = panel["fieldConfig"]["defaults"]
    if panel["options"]["textMode"] == "name":
        words = ", ".join(label(template, s["metric"]) for s in found)
    else:
        value = found[0]["value"][1] if found else "none"
        mapped = {k: v["text"] for m in defaults.get("mappings", []) for k, v in m["options"].items()}
        words = mapped.get(value, value)
    return [text(x + width / 2, y + 50, words, 18, "#111", "middle", "bold")]


def graph(prometheus, panel, targets, x, y, width, height, span):
    end, step = time.time(), max(1, span // 200)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    series = []
    for expression, template in targets:
        for found in prometheus.query_range(expression, end - span, end, step):
            points = [(t, float(v)) for t, v in found["values"] if math.isfinite(float(v))]
            if points:
                series.append((label(template, found["metric"]), points))
    lanes = panel["type"] == "state-timeline"
    if lanes:
        series = [(name, [(t, len(series) - i) for t, _ in points]) for i, (name, points) in enumerate(series)]
    left, right, top = x + 8, x + width - 8, y + 34
    bottom = y + height - 12 - LINE * math.ceil(min(len(series), 8) / 2)
    largest = max((v for _, points in series for _, v in points), default=0) or 1
    scale = "" if lanes else number(largest, unit)
    out = [f'<path d="M{left:.0f} {bottom:.0f}H{right:.0f}" stroke="#ccc"/>', text(right, top - 2, scale, 9, "#888", "end")]
    for i, (name, points) in enumerate(series[:8]):
        colour = COLOURS[i % len(COLOURS)]
        path, before = "", -math.inf
        for t, v in points:  # nothing is drawn where nothing was measured
            spot = f"{left + (t - end + span) / span * (right - left):.1f} {bottom - v / largest * (bottom - top - 4):.1f}"
            path += ("L" if t - before < 1.5 * step else "M") + spot
            before = t
        out.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        spot = (left + (i % 2) * (right - left) / 2, bottom + LINE * (1 + i // 2))
        out.append(text(*spot, name[:30] if lanes else f"{name[:30]}  {number(points[-1][1], unit)}", 9, colour))
    return out


def main():
    url, namespace, name, span = sys.argv[1:]
    prometheus, out, bottom = Prometheus(url), [], 0
    for panel, targets in panels(namespace, name):
        grid = panel["gridPos"]
        x, y, width, height = grid["x"] * CELL, grid["y"] * HEIGHT * 1.6, grid["w"] * CELL, grid["h"] * HEIGHT * 1.6
        bottom = max(bottom, y + height)
        if panel["type"] == "row":
            out.append(text(x + 4, y + 20, panel["title"], 13, "#111", weight="bold"))
            continue
        out.append(f'<rect x="{x + 3}" y="{y + 3:.0f}" width="{width - 6}" height="{height - 6:.0f}" rx="3" fill="#fff" stroke="#ddd"/>')
        out.append(text(x + 10, y + 20, panel["title"], 12, "#111"))
        if panel["type"] == "stat":
            out += stat(prometheus, panel, targets, x, y + 6, width)
        else:
            out += graph(prometheus, panel, targets, x, y, width, height, int(span))
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * CELL} {bottom:.0f}" font-family="sans-serif">')
    print(f'<rect width="100%" height="100%" fill="#f4f4f4"/>\n{chr(10).join(out)}\n</svg>')


main()
