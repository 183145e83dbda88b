"""Counts of what happened, by name (`group: thing`), so that a run can show what it exercised."""

from collections import Counter

Tally = Counter[str]

# Everything that a run of REQUIRED_SEEDS_MIN schedules must have done. A simulation that never does
# a thing says nothing about it.
REQUIRED_SEEDS_MIN = 200
REQUIRED = (
    "answer: hit", "answer: shared", "answer: stale-while-revalidate", "answer: stale-if-error",
    "answer: stored", "answer: collapsed", "answer: overtaken", "answer: no-lease",
    "answer: bypass", "answer: asked", "answer: GET 206", "answer: GET 304", "answer: HEAD 200",
    "answer: write known", "answer: write unknown", "instance: awaits", "answer: 416",
    "answer: changed", "answer: not changed",
    "answer: 503", "answer: 504", "answer: error", "answer: client gone", "answer: instance gone",
    "change: tag", "change: tags", "change: path", "change: prefix", "change: everything",
    "change: apart from the log", "change: unannounced", "change: soft, and asked for",
    "change: invalidated hard here", "change: invalidated softly here",
    "change: invalidated here alone", "change: applied elsewhere",
    "event: hard", "event: soft", "event: mode unknown", "event: unreadable", "event: repeated",
    "event: delayed", "event: of a stranger", "event: published again after a loss",
    "instance: crashes", "instance: stops", "instance: starts", "instance: joins at the end",
    "instance: joins from a snapshot", "instance: prunes", "instance: evicts",
    "link: lags", "link: trickles", "link: freezes", "link: cut", "link: slow",
    "log: recreated", "log: loses its tail", "log: no longer held", "log: down", "log: relay dead",
    "answer: other-origin", "database: two serve",
    "instance: asked at its end",
    "observer: breaks", "observer: freezes", "observer: restarts", "observer: hears no reports",
    "observer: everywhere", "observer: instances vanish",
    "render: slow", "render: times out", "render: raises", "render: raises no Exception",
    "render: cancelled by the app", "render: 503", "render: 304", "render: no-store",
    "render: fails half-way", "render: begins to vary", "render: stops to vary",
    "snapshot: written", "snapshot: old one back",
    "store: loses a put", "store: loses an answer", "store: cleared", "store: old values back",
    "store: damaged", "store: slow", "store: frozen", "store: down", "store: errs",
)  # fmt: skip


def missing(tally: Tally) -> list[str]:
    """Return what a run should have done and did not."""
    return [name for name in REQUIRED if not tally[name]]
