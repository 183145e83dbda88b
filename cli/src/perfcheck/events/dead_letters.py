"""`perfcheck dead-letters`: list and retry the events that the revalidator could not process."""

import datetime as dt
from collections.abc import AsyncIterator, Sequence

from perfcheck_contracts import DeadLetter, DeadLetterList, RetryReport

from perfcheck.console import Console
from perfcheck.events.timeline import as_json as json_of
from perfcheck.events.timeline import clean
from perfcheck.exits import TargetError
from perfcheck.http import Http
from perfcheck.stack.state import Service

RETRY_CALL_S_MAX = 60.0  # a retry does the work of the event: applied everywhere, the CDN purged
LETTERS_MAX = 10_000  # of one listing
LETTERS_PER_PAGE = 100
BODY_CHARS_SHOWN = 60


async def show(service: Service, console: Console, *, limit: int, as_json: bool) -> None:
    """Print at most `limit` dead letters, oldest first."""
    async with Http(timeout_s=RETRY_CALL_S_MAX) as http:
        found = [letter async for letter in _letters(http, service, limit)]
    if as_json:
        console.data(json_of({"dead_letters": found}))
    elif found:
        console.data("\n".join(lines(found)))
    else:
        console.progress("no dead letters")


async def retry(
    numbers: Sequence[int], service: Service, console: Console, *, everything: bool
) -> None:
    """Retry the dead letters with these numbers, or all; print the outcome of each.

    Raises:
        TargetError: the revalidator does not answer, or one of them is still dead.

    """
    async with Http(timeout_s=RETRY_CALL_S_MAX) as http:
        if everything:
            numbers = [letter.number async for letter in _letters(http, service, LETTERS_MAX)]
        failed = 0
        for number in numbers:
            done, text = await _retry_one(http, service, number)
            failed += not done
            console.data(text)
    if not numbers:
        console.progress("no dead letters")
    if failed:
        raise TargetError(f"{failed} of {len(numbers)} dead letters failed again")


def lines(letters: Sequence[DeadLetter]) -> list[str]:
    """Return two lines for each: what and why, and how its body begins. Pure."""
    width = max(len(str(letter.number)) for letter in letters)
    found = []
    for letter in letters:
        at = letter.at.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        found.append(
            f"{str(letter.number).rjust(width)}  {at}  {clean(letter.reason)}  "
            f"({clean(letter.id)}, {clean(letter.subject)}, {letter.seq} in the log)"
        )
        body = clean(letter.body)
        cut = "…" if len(body) > BODY_CHARS_SHOWN else ""
        found.append(f"{' ' * width}  {body[:BODY_CHARS_SHOWN]}{cut}".rstrip())
    return found


async def _retry_one(http: Http, service: Service, number: int) -> tuple[bool, str]:
    url = f"{service.url}/api/v1/dead-letters/{number}/retry"
    reply = await http.post(url, headers=service.tokens.headers("revalidator", "dead-letters"))
    if reply.status == 404:  # noqa: PLR2004 -- HTTP
        return False, f"{number}  is not a dead letter (any more)"
    report = reply.expect(200, 201).read(RetryReport)
    return (
        report.done,
        f"{number}  {'done' if report.done else f'still dead: {clean(report.reason)}'}",
    )


async def _letters(http: Http, service: Service, limit: int) -> AsyncIterator[DeadLetter]:
    after, left = None, limit
    while left > 0:
        url = f"{service.url}/api/v1/dead-letters?limit={min(left, LETTERS_PER_PAGE)}"
        if after is not None:
            url += f"&after={after}"
        headers = service.tokens.headers("revalidator", "dead-letters")
        page = (await http.get(url, headers=headers)).expect(200).read(DeadLetterList)
        for letter in page.dead_letters[:left]:
            yield letter
        left -= len(page.dead_letters)
        after = page.next
        if after is None or not page.dead_letters:
            return
