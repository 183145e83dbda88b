"""The commands about invalidations: publish, receipts, dead letters, tokens. Names and help alone.

What they do is imported when one is run, as in `app`.
"""
# ruff: noqa: PLC0415 -- imports inside commands keep `--help` fast

from pathlib import Path
from typing import get_args

import rich_click as click
from perfcheck_contracts import AUDIENCES, SCOPES, TOKEN_LIFETIME_S_MAX, Stage

from perfcheck import environment
from perfcheck.execution import console, run
from perfcheck.options import DURATION, Since, api_option, state_option, token_option

json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
revalidator_option = click.option(
    "--revalidator",
    metavar="URL",
    help="A revalidator other than the running stack's; needs its --token.",
)


@click.command()
@click.argument("names", metavar="TAG|PATH...", nargs=-1, required=True)
@click.option("--mode", default="hard", show_default=True, help="hard or soft.")
@click.option(
    "--soft", is_flag=True, help="Same as --mode soft: serve the stale page while it is refreshed."
)
@click.option("--reason", default="", help="Why; recorded with the event.")
@click.option("--wait", is_flag=True, help="Return when every BFF instance has applied it.")
@click.option("--timeout", "timeout_s", type=DURATION, default=5.0, show_default="5s")
@api_option
@token_option
@state_option
def invalidate(
    names: tuple[str, ...],
    directory: Path,
    *,
    mode: str,
    soft: bool,
    reason: str,
    wait: bool,
    timeout_s: float,
    api: str | None,
    token: str | None,
) -> None:
    """Invalidate cached pages.

    By tag (currency:usd), path (/pairs/USD/JPY), prefix (/pairs/USD/*), or all of them (*).
    With --wait it prints how long each task took, and exits with 4 if one has not applied it. A
    token needs the scope invalidations:write.

    Example: perfcheck invalidate currency:usd /pairs/EUR/USD --wait --reason "rates corrected"
    """
    from perfcheck.events import invalidate as work
    from perfcheck.stack.state import service

    write = work.write_of(names, mode="soft" if soft else mode, reason=reason)
    target = service(directory, "api", url=api, token=token)
    run(work.invalidate(write, target, console(), wait=wait, timeout_s=timeout_s))


@click.command()
@click.argument("event_id", metavar="[ID]", required=False)
@click.option("--source", help="Only events of this source, such as api.")
@click.option("--stage", type=click.Choice(get_args(Stage)), help="Only receipts at this stage.")
@click.option("--tag", help="Only events that name this tag.")
@click.option("--since", type=Since(), help="Only events from then on: 10m, 2h, 2026-11-24T21:00Z.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="The newest."
)
@click.option("--watch", is_flag=True, help="Follow new ones until Ctrl-C; a line for each change.")
@json_option
@api_option
@token_option
@state_option
def receipts(
    event_id: str | None,
    directory: Path,
    *,
    source: str | None,
    stage: str | None,
    tag: str | None,
    since: str | None,
    limit: int,
    watch: bool,
    as_json: bool,
    api: str | None,
    token: str | None,
) -> None:
    """Show what became of one invalidation (ID), or of the newest ones.

    Committed, published, applied by each task, re-warmed, purged from the CDN. Where publishers use
    the same ID, --source says whose event is meant; without it one of the api comes first. A token
    needs the scope invalidations:read.

    Examples: perfcheck receipts --since 10m --stage dead; perfcheck receipts --watch
    """
    from perfcheck.events import receipts as work
    from perfcheck.stack.state import service

    given = {"source": source, "stage": stage, "tag": tag, "since": since}
    filters = {name: text for name, text in given.items() if text is not None}
    if event_id is not None and (filters.keys() - {"source"} or watch):
        raise click.UsageError("ID selects one receipt: remove --watch and filters but --source")
    target = service(directory, "api", url=api, token=token)
    if event_id is not None:
        run(work.show_one(event_id, source, target, console(), as_json=as_json))
    elif watch:
        run(work.watch(filters, target, console(), as_json=as_json))
    else:
        run(work.show_newest(filters, target, console(), limit=limit, as_json=as_json))


@click.group("dead-letters")
def dead_letters() -> None:
    """List and retry events that the revalidator could not process.

    A token needs the scope dead-letters, for the revalidator.
    """


@dead_letters.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@json_option
@revalidator_option
@token_option
@state_option
def dead_letters_list(
    directory: Path, *, limit: int, as_json: bool, revalidator: str | None, token: str | None
) -> None:
    """List dead letters, oldest first: number, reason, and the start of the message.

    Example: perfcheck dead-letters list --json
    """
    from perfcheck.events import dead_letters as work
    from perfcheck.stack.state import service

    target = service(directory, "revalidator", url=revalidator, token=token)
    run(work.show(target, console(), limit=limit, as_json=as_json))


@dead_letters.command("retry")
@click.argument("numbers", metavar="[NUMBER...]", nargs=-1, type=click.IntRange(min=1))
@click.option("--all", "everything", is_flag=True, help="Retry all dead letters.")
@revalidator_option
@token_option
@state_option
def dead_letters_retry(
    numbers: tuple[int, ...],
    directory: Path,
    *,
    everything: bool,
    revalidator: str | None,
    token: str | None,
) -> None:
    """Retry dead letters; exits with 4 if one fails again.

    Examples: perfcheck dead-letters retry 7 9; perfcheck dead-letters retry --all
    """
    from perfcheck.events import dead_letters as work
    from perfcheck.stack.state import service

    if bool(numbers) == everything:
        raise click.UsageError(
            "give the numbers of dead letters (`perfcheck dead-letters list`), or --all"
        )
    target = service(directory, "revalidator", url=revalidator, token=token)
    run(work.retry(numbers, target, console(), everything=everything))


@click.group()
def publisher() -> None:
    """Add, remove and list who may publish invalidations on NATS, each under its own name.

    A running stack takes the change at once, without a restart; no other session is touched.
    """


@publisher.command("add")
@click.argument("name")
@state_option
def publisher_add(name: str, directory: Path) -> None:
    """Let NAME publish to cache.invalidations.v1.NAME; print its address, which has its password.

    Without a running stack it is there from the next start on. Example: perfcheck publisher add crm
    """
    from perfcheck.stack.publishers import add

    address = run(add(directory, name))
    if address is None:
        console().progress(f"{name} may publish from the next `perfcheck up` on")
    else:
        console().data(address)


@publisher.command("remove")
@click.argument("name")
@state_option
def publisher_remove(name: str, directory: Path) -> None:
    """Let NAME publish no more, and forget its password; its connections are closed.

    After a password was lost: remove, then add.
    """
    from perfcheck.stack.publishers import remove

    run(remove(directory, name))
    console().progress(f"{name} may not publish any more")


@publisher.command("list")
@state_option
def publisher_list(directory: Path) -> None:
    """Print the publishers, one a line."""
    from perfcheck.stack.publishers import names

    console().data("\n".join(names(directory)))


@click.command()
@click.option("--audience", type=click.Choice(AUDIENCES), default="api", show_default=True)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="A scope to grant; repeat for more. Default: all scopes of the audience.",
)
@click.option(
    "--subject", default="cli", show_default=True, help="Who the token is issued to (claim sub)."
)
@click.option(
    "--lifetime-s",
    type=click.IntRange(1, TOKEN_LIFETIME_S_MAX),
    default=300,
    show_default=True,
    help="Seconds until it expires.",
)
@state_option
def token(
    directory: Path, *, audience: str, scopes: tuple[str, ...], subject: str, lifetime_s: int
) -> None:
    """Print a token for the running stack, signed with its key.

    Example: curl -H "Authorization: Bearer $(perfcheck token --scope invalidations:read)"
    "$API/api/v1/invalidations"
    """
    from perfcheck.stack.state import required
    from perfcheck.stack.tokens import mint, scopes_for

    console().data(
        mint(
            required(directory).token_key,
            subject=subject,
            audience=audience,
            scopes=scopes_for(audience, scopes),
            lifetime_s=lifetime_s,
            now_s=environment.unix_s(),
        )
    )
