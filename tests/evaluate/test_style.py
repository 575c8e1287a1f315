import pytest

from eoseg.evaluate.style import DARK, HEAT, LIGHT, SCRIPT, STYLE


def test_the_page_needs_nothing_from_elsewhere() -> None:
    for word in ("http", "url(", "@import", "@font-face", "fetch", "src="):
        assert word not in STYLE + SCRIPT


def test_braces_are_closed() -> None:
    assert STYLE.count("{") == STYLE.count("}")


def test_phones_printers_and_dark_rooms_are_thought_of() -> None:
    for word in ("@media (max-width", "@media print", "prefers-color-scheme: dark"):
        assert word in STYLE


def test_both_themes_have_the_same_colours() -> None:
    assert LIGHT.keys() == DARK.keys()
    for name in LIGHT:
        assert f"var(--{name})" in STYLE or name in ("c1", "c2", "c3", "c4")  # those are for charts


def luminance(color: str) -> float:
    """Relative luminance, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    shares = [value / 255 for value in bytes.fromhex(color.removeprefix("#"))]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def mixed(color: str, ground: str, share: float) -> str:
    pairs = zip(bytes.fromhex(color[1:]), bytes.fromhex(ground[1:]), strict=True)
    return "#" + bytes(round(share * a + (1 - share) * b) for a, b in pairs).hex()


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read_on_its_ground(theme: dict[str, str]) -> None:
    # https://www.w3.org/TR/WCAG22/#contrast-minimum: 4.5 to 1 for text, 3 to 1 for lines of charts
    for text in ("ink", "soft", "accent"):
        for ground in ("card", "ground"):
            assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)
    for share in (0.2, 0.6, 1.0):
        assert contrast(theme["ink"], mixed(theme["heat"], theme["card"], share * HEAT)) >= 4.5, share
    for line in ("c1", "c2", "c3", "c4"):
        assert contrast(theme[line], theme["card"]) >= 3, line


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
