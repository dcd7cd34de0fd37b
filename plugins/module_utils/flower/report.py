# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a run as one HTML file: no script, no external resource, light and dark, readable without the pictures.

It says what is known and no more: a degraded run is called degraded, bytes per round are an average because Flower
counts them per run, and every figure names where it was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.opennebula.flower.plugins.module_utils.flower.chart import Series, line_chart, mark
from ansible_collections.opennebula.flower.plugins.module_utils.flower.figures import (
    ACCURACY,
    LOSS,
    SOURCES,
    duration,
    figures,
    number,
    page_text,
    pick,
    size,
)
from ansible_collections.opennebula.flower.plugins.module_utils.flower.report_style import STYLE

SOURCE_NAMES = {
    "central": "Held-back data on the SuperLink",
    "evaluate": "Nodes' evaluation data",
    "train": "Nodes' training data",
}
SHORT_NAMES = {"central": "held-back", "evaluate": "nodes", "train": "training"}
VERDICTS = {
    "finished:completed": ("good", "Completed"),
    "finished:failed": ("bad", "Failed"),
    "finished:stopped": ("warn", "Stopped"),
}
KINDS = (("accuracy", ACCURACY), ("loss", LOSS))


def render(run: Mapping[str, Any], title: str) -> str:
    """The whole page for what flower_run returned; missing parts of it are left out."""
    app = run.get("app") or {}
    name = f"{app.get('name', 'unknown app')} {app.get('version', '')}".strip()
    rounds: list[Mapping[str, Any]] = list(run.get("rounds") or [])
    tone, verdict = judge(run)
    body = [
        f'<header><p class="over">{page_text(name)} · run {page_text(run.get("run_id", ""))}</p>',
        f'<h1>{page_text(title)}</h1><p><span class="pill {tone}">{page_text(verdict)}</span></p></header>',
        notice(run, tone),
        tiles(run, rounds),
        charts(run, rounds),
        round_table(run, rounds),
        facts(run),
        log(run),
    ]
    head = (
        '<meta charset="utf-8"/>\n<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f'<meta name="color-scheme" content="light dark"/>\n<title>{page_text(title)}</title>\n<style>{STYLE}</style>'
    )
    content = "\n".join(part for part in body if part)
    body_text = f"<body>\n<main>\n{content}\n</main>\n</body>"
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n{body_text}\n</html>\n'


def judge(run: Mapping[str, Any]) -> tuple[str, str]:
    """(tone, word) of the run's outcome."""
    status = str(run.get("status", ""))
    if status == "finished:completed" and run.get("degraded"):
        return "warn", "Completed with missing results"
    return VERDICTS.get(status, ("warn", status or "Unknown state"))


def notice(run: Mapping[str, Any], tone: str) -> str:
    """Why the run is not simply good, if it is not."""
    return f'<p class="notice {tone}" role="note">{page_text(run["reason"])}</p>' if run.get("reason") else ""


def several(run: Mapping[str, Any]) -> bool:
    """Whether a training took more than one run, whose times and bytes are then sums."""
    return len(run.get("runs") or []) > 1


def tiles(run: Mapping[str, Any], rounds: Sequence[Mapping[str, Any]]) -> str:
    """The few numbers that a reader wants first."""
    shown: list[tuple[str, str, str]] = []
    measured = [one for one in rounds if figures(one)[1]]
    if measured:
        source, metrics = figures(measured[-1])
        where = SOURCE_NAMES[str(source)]
        for label, kind in KINDS:
            value = pick(metrics, kind)
            if value is not None:
                text = percent(value) if label == "accuracy" and 0 <= value <= 1 else number(value)
                shown.append((f"Final {label}", text, where))
    done = sum(1 for one in rounds if one.get("done", True))
    planned = run.get("num_rounds")
    shown.append(("Rounds", f"{done} of {planned}" if planned else str(done), average_time(rounds)))
    if run.get("nodes") is not None:
        shown.append(("Nodes", str(run["nodes"]), "chosen in the last round"))
    if run.get("duration_s") is not None:
        which = "of its runs together" if several(run) else "start to end of the run"
        shown.append(("Duration", duration(float(run["duration_s"])), which))
    sent, received = run.get("bytes_sent"), run.get("bytes_recv")
    if sent is not None and received is not None:
        mean = f"{size((sent + received) / done)} a round on average" if done else "to and from all nodes"
        shown.append(("Network", size(sent + received), mean))
    cells = (
        f"<div><dt>{page_text(label)}</dt><dd>{page_text(value)}<small>{page_text(note)}</small></dd></div>"
        for label, value, note in shown
    )
    return f'<dl class="tiles">{"".join(cells)}</dl>'


def charts(run: Mapping[str, Any], rounds: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy and loss per round; a figure that the app does not report has no picture."""
    found = []
    for label, kind in KINDS:
        series = [s for s in (one_series(run, rounds, source, kind) for source in SOURCES) if s is not None]
        values = [value for one in series for _round, value in one.points if value is not None]
        if not values:
            continue
        share = label == "accuracy" and min(values) >= 0 and max(values) <= 1
        drawing = line_chart(
            label,
            f"{label.capitalize()} per round",
            series,
            1.0 if share else None,
            percent_tick if share else number_tick,
        )
        legend = "".join(
            f'<li><svg viewBox="0 0 28 12" aria-hidden="true"><line class="line s{one.style}" x1="0" y1="6" x2="28" '
            f'y2="6"/>{mark(one.style, 14, 6)}</svg>{page_text(one.name)}</li>'
            for one in series
        )
        caption = f"<figcaption><h2>{label.capitalize()}</h2><ul>{legend}</ul></figcaption>"
        found.append(f"<figure>{caption}{drawing}</figure>")
    if not found and not rounds:
        return ""
    if not found:
        return (
            '<p class="notice warn" role="note">The app reported neither loss nor accuracy, so there is no curve.</p>'
        )
    return f'<section class="charts">{"".join(found)}</section>'


def one_series(
    run: Mapping[str, Any], rounds: Sequence[Mapping[str, Any]], source: str, kind: tuple[str, ...]
) -> Series | None:
    """One line of a chart, or None when no round has that figure. Round 0 is the model before training."""
    points = [(int(one["round"]), pick(one.get(source) or {}, kind)) for one in rounds]
    if source == "central" and run.get("initial"):
        points.insert(0, (0, pick(run["initial"], kind)))
    if all(value is None for _round, value in points):
        return None
    return Series(SOURCE_NAMES[source], SOURCES.index(source), tuple(points))


def round_table(run: Mapping[str, Any], rounds: Sequence[Mapping[str, Any]]) -> str:
    """All rounds with the same figures as the pictures; round 0 is the model before training."""
    if not rounds:
        return "<section><h2>Rounds</h2><p>No round was started.</p></section>"
    columns = [
        (source, label, kind)
        for label, kind in KINDS
        for source in SOURCES
        if any(pick(one.get(source) or {}, kind) is not None for one in rounds)
    ]
    heads = ["Round", *(f"{label.capitalize()} ({SHORT_NAMES[source]})" for source, label, _kind in columns)]
    others = any(other_figures(one) for one in rounds)
    heads += ["Results", "Connected", "Time", *(["Other figures"] if others else [])]
    lines = []
    if run.get("initial"):
        start = [pick(run["initial"], kind) if source == "central" else None for source, _label, kind in columns]
        empty = '<td class="num">–</td>' * (len(heads) - 1 - len(columns))
        lines.append(f'<tr><th scope="row">0</th>{"".join(map(cell, start))}{empty}</tr>')
    for one in rounds:
        cells = [cell(pick(one.get(source) or {}, kind)) for source, _label, kind in columns]
        results, nodes = one.get("results"), one.get("nodes")
        short = results is not None and nodes is not None and results < nodes
        cells.append(f'<td class="num{" short" if short else ""}">{text_of(results)} of {text_of(nodes)}</td>')
        cells.append(f'<td class="num">{text_of(one.get("connected"))}</td>')
        seconds = one.get("seconds")
        cells.append(f'<td class="num">{duration(float(seconds)) if seconds is not None else "–"}</td>')
        if others:
            cells.append(f'<td class="free">{page_text(other_figures(one)) or "–"}</td>')
        lines.append(f'<tr><th scope="row">{text_of(one["round"])}</th>{"".join(cells)}</tr>')
        for error in one.get("errors") or []:
            lines.append(f'<tr class="error"><td></td><td colspan="{len(heads) - 1}">{page_text(error)}</td></tr>')
    head = "".join(f'<th scope="col">{page_text(text)}</th>' for text in heads)
    note = "Round 0 is the model before training. " if run.get("initial") else ""
    note += "Results: replies that were averaged, of the nodes chosen. Time: as the run's log shows it."
    return (
        '<section><h2 id="rounds">Rounds</h2><div class="wide" role="region" aria-labelledby="rounds" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
        f'<p class="note">{note}</p></section>'
    )


def other_figures(one: Mapping[str, Any]) -> str:
    """Metrics that are neither loss nor accuracy, as `name value`."""
    told = []
    for source in SOURCES:
        for key, value in (one.get(source) or {}).items():
            if pick({key: value}, LOSS) is None and pick({key: value}, ACCURACY) is None:
                told.append(f"{key} {number(value) if isinstance(value, float) else value}")
    return ", ".join(told)


def facts(run: Mapping[str, Any]) -> str:
    """When, what and with which versions."""
    versions = run.get("versions") or {}
    sent, received = run.get("bytes_sent"), run.get("bytes_recv")
    whole = "in all its runs" if several(run) else "in the whole run"
    rows = [
        ("Training", run.get("training")),
        ("Run id", run.get("run_id")),
        ("Earlier runs", "; ".join(map(run_words, (run.get("runs") or [])[:-1])) or None),
        ("State", run.get("status")),
        ("Data", run.get("data")),
        ("Submitted", run.get("submitted_at")),
        ("Started", run.get("started_at")),
        ("Finished", run.get("finished_at")),
        ("Sent to nodes", None if sent is None else f"{size(sent)} {whole}"),
        ("Received from nodes", None if received is None else f"{size(received)} {whole}"),
        ("Flower", versions.get("flwr")),
        ("flower-ops", versions.get("flower_ops")),
        ("Python on the SuperLink", versions.get("python")),
        ("Files", ", ".join(f"{one['name']} ({size(one['size'])})" for one in run.get("files") or []) or None),
    ]
    lines = "".join(
        f"<div><dt>{page_text(k)}</dt><dd>{page_text(v)}</dd></div>" for k, v in rows if v not in (None, "")
    )
    note = "Flower counts bytes per run, not per round; the average above divides the sum by the rounds."
    return f'<section><h2>Run</h2><dl class="facts">{lines}</dl><p class="note">{note}</p></section>'


def run_words(one: Mapping[str, Any]) -> str:
    """How a run of a training ended that was not its last."""
    begun = f" from round {one['from_round']}" if one.get("from_round") else ""
    return f"{one['run_id']}{begun}: {one.get('reason') or one.get('ended') or 'ended'}"


def log(run: Mapping[str, Any]) -> str:
    """The last lines of the ServerApp's log, folded away unless the run went wrong."""
    lines = run.get("log_tail") or []
    if not lines:
        return ""
    unfolded = "" if run.get("status") == "finished:completed" else ' open="open"'
    text = page_text("\n".join(map(str, lines)))
    return f"<details{unfolded}><summary>Last lines of the log</summary><pre>{text}</pre></details>"


def average_time(rounds: Sequence[Mapping[str, Any]]) -> str:
    """`8 s each on average`, or nothing."""
    seconds = [float(one["seconds"]) for one in rounds if one.get("seconds") is not None]
    return f"{duration(sum(seconds) / len(seconds))} each on average" if seconds else ""


def cell(value: float | None) -> str:
    """A number in the table."""
    text = "–" if value is None else f"{value:.4f}" if abs(value) < 1000 else number(value)
    return f'<td class="num">{text}</td>'


def text_of(value: Any) -> str:
    """A value or a dash."""
    return "–" if value is None else page_text(value)


def percent(value: float) -> str:
    """95.5 %."""
    return f"{100 * value:.1f} %"


def percent_tick(value: float) -> str:
    """50 %, and 95.5 % where it is needed."""
    return f"{100 * value:.0f} %" if abs(100 * value - round(100 * value)) < 1e-6 else percent(value)


def number_tick(value: float) -> str:
    """0.5 rather than 0.500."""
    return f"{value:.3g}"
