"""The template environment of a language, made once; templates in `templates/*.html` of a room.

minijinja escapes by the name's suffix, so every template is called `*.html` (a test insists), and
an undefined variable is an error, never an empty place.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from minijinja import Environment, load_from_path, safe

from perfcheck_bff.site import charts
from perfcheck_bff.site.assets import Asset
from perfcheck_bff.site.texts import Texts

__all__ = ["TEMPLATES", "environment"]

TEMPLATES = Path(__file__).parent / "templates"


def environment(
    texts: Texts, assets: Mapping[str, Asset], *, folders: Sequence[Path] = (TEMPLATES,)
) -> Environment:
    """Return the environment in which the templates of `folders` render in one language.

    Globals: `t`, `short_day`, `long_day` and `language` (the texts), `assets` (plain name to
    address), `plot` (size of a chart's plot).
    """
    return Environment(
        loader=load_from_path(folders),
        undefined_behavior="strict",
        trim_blocks=True,
        lstrip_blocks=True,
        globals={
            "t": texts,
            "language": texts.language,
            "short_day": texts.short_day,
            "long_day": texts.long_day,
            "assets": {name: safe(asset.url) for name, asset in assets.items()},
            "plot": {"width": charts.WIDTH, "height": charts.HEIGHT},
        },
    )
