"""Reading `Cache-Status` (RFC 9211) and `Server-Timing` from a BFF's responses. Pure."""


def members(header: str | None) -> dict[str, str]:
    """Return the parameters of the member nearest to the client; flags have the value "".

    `asgi-isr; hit; ttl=86390; fence=17` gives `{"hit": "", "ttl": "86390", "fence": "17"}`.
    """
    if not header:
        return {}
    nearest = header.rsplit(",", 1)[-1]
    found = {}
    for part in nearest.split(";")[1:]:
        name, _, value = part.strip().partition("=")
        found[name] = value.strip('"')
    return found


def is_hit(header: str | None) -> bool:
    """Return whether the page was a fresh hit (a stale one has a negative ttl)."""
    found = members(header)
    return "hit" in found and not found.get("ttl", "").startswith("-")


def fence(header: str | None) -> int | None:
    """Return the log position that the page is as new as, None when the header does not say."""
    value = members(header).get("fence", "")
    return int(value) if value.isdecimal() else None


def durations_ms(header: str | None) -> dict[str, float]:
    """Return `{name: dur}` of a `Server-Timing` header; an entry without a number is left out."""
    found: dict[str, float] = {}
    for entry in (header or "").split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "dur":
                try:
                    found[name] = float(value.strip().strip('"'))
                except ValueError:
                    continue
    return found
