"""Every text can be read in every theme that is offered."""

from __future__ import annotations

import pytest
from textual.color import Color

from atp_console.theme import (
    DEFAULT_THEME,
    GROUNDS,
    MIN_CONTRAST,
    ROLES,
    THEMES,
    contrast,
    field_colours,
    lifted,
    palette_of,
)


@pytest.mark.parametrize("name", sorted(THEMES))
def test_every_role_reaches_the_contrast_on_every_ground(name: str) -> None:
    palette = palette_of(THEMES[name])
    assert set(palette.styles) == set(GROUNDS)
    for ground, behind in palette.grounds.items():
        assert set(palette.styles[ground]) == set(ROLES)
        for role, colour in palette.colours[ground].items():
            if role != "rule":
                assert contrast(colour, behind) >= MIN_CONTRAST, (ground, role)


@pytest.mark.parametrize("name", sorted(THEMES))
def test_text_fields_and_messages_reach_it_too(name: str) -> None:
    variables = THEMES[name].to_color_system().generate()
    own = {key: Color.parse(value) for key, value in field_colours(variables).items()}
    surface, panel = (Color.parse(variables[key]).with_alpha(1.0) for key in ("surface", "panel"))
    for text, behind in (
        (own["atp-field"], surface),
        (own["atp-hint"], surface),
        (own["atp-on-chosen"], own["atp-chosen"]),
        (own["atp-told"], panel),
    ):
        assert contrast(text, behind) >= MIN_CONTRAST


def test_one_theme_has_high_contrast() -> None:
    palette = palette_of(THEMES["atp-contrast"])
    for ground, behind in palette.grounds.items():
        for role in set(ROLES) - {"rule"}:
            assert contrast(palette.colours[ground][role], behind) > 6.99, (ground, role)


def test_at_least_twenty_themes_are_offered() -> None:
    assert len(THEMES) >= 20
    assert DEFAULT_THEME in THEMES
    assert any(not theme.dark for theme in THEMES.values())


def test_contrast_is_the_wcag_figure() -> None:
    assert contrast(Color(0, 0, 0), Color(255, 255, 255)) == pytest.approx(21)
    assert contrast(Color(119, 119, 119), Color(255, 255, 255)) == pytest.approx(4.48, abs=0.01)


def test_a_colour_moves_only_as_far_as_it_must() -> None:
    white = Color(255, 255, 255)
    assert lifted(Color(0, 0, 0), white, 4.5) == Color(0, 0, 0)
    assert 4.5 <= contrast(lifted(Color(200, 200, 0), white, 4.5), white) < 6
