"""`CacheSettings` refuses what is no setting."""

import msgspec
import pytest
from asgi_isr import CacheSettings


@pytest.mark.parametrize("value", [True, False])
def test_setting_that_is_gone_names_what_replaces_it(value: object) -> None:
    """Who gave `heuristic` before learns which three settings are there now."""
    said = "heuristic is gone; choose from guess_freshness, store_set_cookie, store_errors"
    settings: dict[str, object] = {"heuristic": value}
    with pytest.raises(TypeError, match=said):
        CacheSettings(**settings)  # type: ignore[arg-type]  # as somebody may give them


def test_settings_that_replace_it_are_there() -> None:
    """Each of the three is a setting, off unless it is chosen; one that never was is refused."""
    chosen = CacheSettings(guess_freshness=True, store_set_cookie=True, store_errors=True)
    assert msgspec.structs.replace(
        chosen, guess_freshness=False, store_set_cookie=False, store_errors=False
    ) == CacheSettings()  # fmt: skip
    with pytest.raises(TypeError, match="heuristics"):
        CacheSettings(heuristics=True)  # type: ignore[call-arg]  # there is no such setting
