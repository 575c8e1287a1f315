"""Styles are whole documents, in the table and with the values that QGIS asks for."""

import sqlite3
import xml.etree.ElementTree as ElementTree

from eoseg.geo.layer_styles import add_layer_styles, interpretation_style, outline_style
from eoseg.recipe import parse_classes

CLASSES = parse_classes({'sea & "lakes"': "#0000FF", "wood <old>": "#00FF00"})
STYLE = interpretation_style(CLASSES, answer="reference", lists={"confidence": ("high", "low")}, fixed=["id"])


def test_each_class_has_its_colour_and_what_is_unanswered_a_ring() -> None:
    document = ElementTree.fromstring(STYLE.partition("\n")[2])
    renderer = document.find("renderer-v2")
    assert renderer is not None
    assert (renderer.get("type"), renderer.get("attr")) == ("categorizedSymbol", "reference")
    categories = {entry.get("value"): entry.get("symbol") for entry in renderer.iter("category")}
    assert categories == {'sea & "lakes"': "0", "wood <old>": "1", "": "2"}
    colors = {
        symbol.get("name"): {option.get("name"): option.get("value") for option in symbol.iter("Option")}
        for symbol in renderer.iter("symbol")
    }
    assert [colors[name]["color"] for name in "012"] == ["0,0,255,255", "0,255,0,255", "230,0,126,0"]
    assert colors["2"]["outline_color"] == "230,0,126,255"


def test_the_form_offers_lists_of_values() -> None:
    document = ElementTree.fromstring(STYLE.partition("\n")[2])
    lists = {}
    for field in document.iter("field"):
        widget = field.find("editWidget")
        if widget is not None:
            assert widget.get("type") == "ValueMap"
            (values,) = [entry for entry in widget.iter("Option") if entry.get("type") == "List"]
            lists[field.get("name")] = [
                (entry.get("name"), entry.get("value"))
                for entry in values.iter("Option")
                if entry.get("value")
            ]
    names = [entry.name for entry in CLASSES]
    assert lists == {
        "reference": list(zip(names, names, strict=True)),
        "confidence": [("high", "high"), ("low", "low")],
    }
    editable = document.find("editable")
    assert editable is not None
    assert [(f.get("name"), f.get("editable")) for f in editable] == [("id", "0")]


def test_outlines_have_no_fill() -> None:
    document = ElementTree.fromstring(outline_style().partition("\n")[2])
    options = {entry.get("name"): entry.get("value") for entry in document.iter("Option")}
    assert (options["style"], options["outline_style"]) == ("no", "solid")


def test_each_layer_gets_its_own_style_as_default() -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE gpkg_contents (table_name, data_type, identifier, description)")
    database.execute("CREATE TABLE gpkg_geometry_columns (table_name, column_name)")
    database.execute("INSERT INTO gpkg_geometry_columns VALUES ('a', 'geom'), ('b', 'shape'), ('c', 'geom')")
    add_layer_styles(database, {"a": "<one/>", "b": "<two/>"}, name="colours")
    query = "SELECT f_table_name, f_geometry_column, styleName, styleQML, useAsDefault FROM layer_styles"
    assert database.execute(query).fetchall() == [
        ("a", "geom", "colours", "<one/>", 1),
        ("b", "shape", "colours", "<two/>", 1),
    ]
