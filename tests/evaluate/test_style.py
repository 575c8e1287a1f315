from eoseg.evaluate.style import SCRIPT, STYLE


def test_the_page_needs_nothing_from_elsewhere() -> None:
    for word in ("http", "url(", "@import", "@font-face", "fetch", "src="):
        assert word not in STYLE + SCRIPT


def test_braces_are_closed() -> None:
    assert STYLE.count("{") == STYLE.count("}")


def test_phones_and_printers_are_thought_of() -> None:
    assert "@media (max-width" in STYLE
    assert "@media print" in STYLE
