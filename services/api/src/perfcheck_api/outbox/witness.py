"""Whether the database still is the one that the log knows, and has not gone back (rule 13).

A database that is restored lacks writes that pages were rendered from, and no event tells of that.
So what the relay publishes tells how far the database was: a witness, which is compared with the
database at the beginning of each session. No single sign is enough: a copy of the data directory
keeps the identity, a dump keeps the rows, and what was written since the last witness is in none.
Pure: no I/O, no clock.
"""

import msgspec

from perfcheck_api.origin import Server

WITNESS_HEADER = "Cache-Witness"
MARK_INTERVAL_S = 5.0  # the relay publishes a mark, hence a witness, where nothing else did
_REPLACED_MAX = 8
_US = 1_000_000


class Place(msgspec.Struct, frozen=True):
    """How far a database is; `row` is the highest number of the outbox, 0 for none.

    `outbox` names the table and the file of its rows; `event` is the id of the row's event; `wal`
    is the end of what is safely written; `time` the database's, in microseconds since 1970.
    """

    outbox: str
    row: int
    event: str
    wal: int
    time: int


class Witness(msgspec.Struct, frozen=True):
    """What a message tells of the database; `replaced` are origins that have lost the log to it."""

    server: Server
    place: Place
    replaced: tuple[str, ...] = ()

    def encode(self) -> str:
        """Return the text of the header."""
        return _encoder.encode(self).decode()

    def after(self, other: "Witness") -> "Witness":
        """Return this witness as one that takes the log over from `other`."""
        origins = dict.fromkeys((*other.replaced, other.server.origin))
        origins.pop(self.server.origin, None)
        return msgspec.structs.replace(self, replaced=tuple(origins)[-_REPLACED_MAX:])


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Witness)


def decode(text: str) -> Witness | None:
    """Read the header; None for what is no witness of this release."""
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError:
        return None


def gone_back(
    last: Witness, database: Witness, *, holds_row: bool, mark_interval_s: float
) -> str | None:
    """Say why `database` is not what `last`, the log's newest witness, saw or what came of it.

    `holds_row` says whether the newest row of then is there. Two intervals of marks may pass from
    that witness to a start of the server.
    """
    then, now = last.server, database.server
    if (now.system, now.timeline, now.database) != (then.system, then.timeline, then.database):
        return "it is another database than the one that the log knows"
    if database.place.outbox != last.place.outbox:
        return "its outbox is another table than the one that the log knows"
    if not holds_row:
        return f"it lacks row {last.place.row} of the outbox, which the log knows of"
    if database.place.wal < last.place.wal:
        return "it was further on when the log last heard of it"
    unseen_s = (now.started - last.place.time) / _US
    if now.started != then.started and not 0 <= unseen_s <= 2 * mark_interval_s:
        return (
            "its server was restarted, and what was committed in the"
            f" {unseen_s:.0f} s before nobody knows"
        )
    return None
