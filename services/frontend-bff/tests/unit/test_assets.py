"""Stylesheet, script and icon."""

import re

import pytest
from perfcheck_bff.dashboard import routes as dashboard
from perfcheck_bff.site import assets

FILES = assets.load_assets((assets.STATIC, dashboard.STATIC))


def test_addresses_hold_a_hash_of_the_content() -> None:
    """A changed file has a new address, so that browsers may keep it for ever."""
    for name, asset in FILES.items():
        stem, _, suffix = name.partition(".")
        assert asset.url == f"/assets/{stem}.{asset.hash}.{suffix}"
        assert re.fullmatch("[0-9a-f]{12}", asset.hash)


def test_everything_a_page_needs_is_small() -> None:
    """Own style and script are a few kilobytes, without a framework."""
    sizes = {name: len(asset.body) for name, asset in FILES.items()}

    assert set(sizes) == {"app.css", "favicon.svg", "perf.js"}
    assert sizes["app.css"] < 8 * 1024
    assert sizes["perf.js"] < 8 * 1024


def test_long_words_do_not_widen_an_error() -> None:
    """An error repeats the address it was asked for, which may be wider than any screen."""
    css = FILES["app.css"].body.decode()
    rule = re.search(r"\.error \{([^}]*)\}", css)
    assert rule is not None
    assert "overflow-wrap: anywhere" in rule[1]


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it, of `#rgb` or `#rrggbb`."""
    digits = colour.removeprefix("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    channels = [int(digits[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    linear = [
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in channels
    ]
    return sum(
        weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True)
    )


def contrast(first: str, second: str) -> float:
    """Contrast ratio as WCAG 2 defines it."""
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("text", ["text", "quiet", "link", "up", "down", "warn"])
@pytest.mark.parametrize("ground", ["page", "card", "hover"])
def test_text_has_enough_contrast(theme: int, text: str, ground: str) -> None:
    """Every colour of text is readable on every ground in both themes (WCAG AA, 4.5 to 1)."""
    style = FILES["app.css"].body.decode()
    colours = {
        name: (light, dark)
        for name, light, dark in re.findall(
            r"--([a-z]+): light-dark\((#[0-9a-f]+), (#[0-9a-f]+)\)", style
        )
    }

    assert contrast(colours[text][theme], colours[ground][theme]) >= 4.5
