"""How receipts look: one as a timeline, many as a table. Pure.

Times with a sign are since the commit, or where that is not known, since the publication.
"""

import datetime as dt
from collections.abc import Sequence

import click
import msgspec
from perfcheck_contracts import Applied, CdnPurge, Receipt, Warmed

NAMES_SHOWN_MAX = 8  # of a receipt; a table shows one
_COLOURS = {"applied": "green", "done": "green", "dead": "red"}
_HEADINGS = ("time", "stage", "published", "applied", "tasks", "names", "source", "id")
_WIDTHS = (12, 9, 10, 9, 6, 32, 12, 0)


def timeline(receipt: Receipt) -> str:
    """Return what became of one event, a line for each thing that happened."""
    since = receipt.committed_at or receipt.published_at
    lines = [("id", receipt.id), ("stage", _stage(receipt.stage))]
    if receipt.source:
        lines.append(("source", receipt.source))
    lines.append((receipt.mode, _names(receipt, NAMES_SHOWN_MAX)))
    if receipt.reason:
        lines.append(("reason", clean(receipt.reason)))
    if receipt.committed_at is not None:
        lines.append(("committed", _moment(receipt.committed_at)))
    if receipt.published_at is not None:
        lines.append(("published", _published(receipt.published_at, receipt)))
    if receipt.applied is not None:
        lines.append(("applied", _applied(receipt.applied)))
        each = receipt.applied.each or {}
        lines += [
            ("", f"{name} +{time_ms:.1f} ms")
            for name, time_ms in sorted(each.items(), key=lambda item: (item[1], item[0]))
        ]
    if receipt.warmed is not None:
        lines.append(("re-warmed", _warmed(receipt.warmed)))
    lines += [
        ("cdn again" if purge.again else "cdn", _purge(purge, since)) for purge in receipt.cdn
    ]
    if receipt.dead:
        lines.append(("dead", clean(receipt.dead)))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name.ljust(width)}  {text}".rstrip() for name, text in lines)


def table(receipts: Sequence[Receipt]) -> str:
    """Return one line for each, under headings."""
    rows = [_HEADINGS, *(_cells(receipt) for receipt in receipts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return "\n".join(_line(row, widths) for row in rows)


def rows(receipts: Sequence[Receipt]) -> str:
    """Return the lines of a table that goes on: no headings, and widths that never change."""
    return "\n".join(_line(_cells(receipt), _WIDTHS) for receipt in receipts)


def headings() -> str:
    """Return the headings above `rows`."""
    return _line(_HEADINGS, _WIDTHS)


def clean(text: str) -> str:
    """Return a text of others so that it cannot move the cursor or colour the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def propagation_ms(receipt: Receipt) -> float | None:
    """Return the time from the commit until the last task reported it; None as long as unknown.

    The commit is told by the database's clock and the publication by the broker's: the skew between
    the two is in it.
    """
    if receipt.committed_at is None or receipt.published_at is None or receipt.applied is None:
        return None
    if receipt.applied.max_ms is None:
        return None
    to_log = (receipt.published_at - receipt.committed_at) / dt.timedelta(milliseconds=1)
    return to_log + receipt.applied.max_ms


def as_json(value: object, *, indent: int = 1) -> str:
    """Return one JSON document; with `indent` 0 on one line."""
    encoded = msgspec.json.encode(value)
    return (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()


def _cells(receipt: Receipt) -> tuple[str, ...]:
    at = receipt.committed_at or receipt.published_at
    applied = receipt.applied
    return (
        "-" if at is None else at.astimezone(dt.UTC).strftime("%H:%M:%S.%f")[:12],
        receipt.stage,
        _since(receipt.published_at, receipt.committed_at) or "-",
        "-" if applied is None or applied.max_ms is None else f"{applied.max_ms:.1f} ms",
        "-" if applied is None else _tasks(applied),
        _names(receipt, 1),
        receipt.source or "-",
        clean(receipt.id),
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    padded[1] = _stage(cells[1]) + padded[1][len(cells[1]) :]
    return "  ".join(padded).rstrip()


def _stage(stage: str) -> str:
    colour = _COLOURS.get(stage)
    return stage if colour is None else click.style(stage, fg=colour)


def _names(receipt: Receipt, shown: int) -> str:
    names = [*receipt.tags, *receipt.paths]
    more = f" +{len(names) - shown}" if len(names) > shown else ""
    return clean(", ".join(names[:shown])) + more if names else "-"


def _moment(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")


def _since(at: dt.datetime | None, start: dt.datetime | None) -> str:
    """Return a time after the start, in the unit that reads best; "" where one is unknown."""
    if at is None or start is None:
        return ""
    passed_s = (at - start).total_seconds()
    return f"{passed_s * 1000:+.1f} ms" if abs(passed_s) < 1 else f"{passed_s:+.1f} s"


def _published(at: dt.datetime, receipt: Receipt) -> str:
    when = _since(at, receipt.committed_at) or _moment(at)
    return when if receipt.seq is None else f"{when}  seq {receipt.seq} in the log"


def _tasks(applied: Applied) -> str:
    missing = len(applied.missing)
    return f"{max(applied.instances - missing, 0)}/{applied.instances}"


def _applied(applied: Applied) -> str:
    text = f"{_tasks(applied)} tasks"
    figures = {"min": applied.min_ms, "p50": applied.p50_ms, "max": applied.max_ms}
    known = [f"{name} {value:.1f}" for name, value in figures.items() if value is not None]
    if known:
        text += f", {', '.join(known)} ms after publication"
    if applied.missing:
        text += f", missing: {', '.join(sorted(applied.missing))}"
    if applied.vanished:
        text += f", vanished: {', '.join(sorted(applied.vanished))}"
    return text


def _warmed(warmed: Warmed) -> str:
    text = f"{warmed.pages} pages in {warmed.ms:.0f} ms"
    if warmed.failed:
        text += f", {warmed.failed} failed"
    return text + (f", {warmed.left} skipped" if warmed.left else "")


def _purge(purge: CdnPurge, since: dt.datetime | None) -> str:
    parts = [purge.provider]
    if purge.submitted_at is not None:
        parts.append(
            f"submitted {_since(purge.submitted_at, since) or _moment(purge.submitted_at)}"
        )
    if purge.completed_at is not None:
        parts.append(
            f"completed {_since(purge.completed_at, since) or _moment(purge.completed_at)}"
        )
    if purge.status == "refused":
        parts.append("refused")
    if purge.reference:
        parts.append(f"({clean(purge.reference)})")
    text = " ".join(parts)
    return f"{text}: {clean(purge.detail)}" if purge.detail else text
