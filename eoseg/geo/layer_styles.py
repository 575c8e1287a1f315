"""Styles inside a GeoPackage, where QGIS looks for them: colours, and how a form asks for values."""

import sqlite3
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import quoteattr

from eoseg.recipe import Color, MapClass

_UNANSWERED: Color = (230, 0, 126)
"""Of the ring around a point without an answer: in no palette of classes and hardly on the ground."""


def add_layer_styles(database: sqlite3.Connection, styles: Mapping[str, str], *, name: str) -> None:
    """Add the table from which QGIS takes the styles of layers.

    Args:
        database: An open GeoPackage.
        styles: The name of each layer and its style (QML), which becomes its default.
        name: Of the styles, shown in QGIS.
    """
    database.execute(
        "CREATE TABLE layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "
        "f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), "
        "f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT, "
        "useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), "
        "update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')))"
    )
    database.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description) VALUES "
        "('layer_styles', 'attributes', 'layer_styles', 'Styles of the layers, for QGIS')"
    )
    for layer, style in styles.items():
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, "
            "styleName, styleQML, styleSLD, useAsDefault, description, owner) "
            "SELECT '', '', table_name, column_name, ?, ?, '', 1, 'Colours of the map', '' "
            "FROM gpkg_geometry_columns WHERE table_name = ?",
            (name, style, layer),
        )


def interpretation_style(
    classes: Sequence[MapClass], *, answer: str, lists: Mapping[str, Sequence[str]], fixed: Sequence[str]
) -> str:
    """A QGIS style (QML) for points that a person gives a class.

    A point is a ring until it is answered, then a dot in the colour of its class. The form offers lists of
    values, and does not let the rest be changed.

    Args:
        classes: What an answer may be.
        answer: Name of the column of answers, text.
        lists: Other columns with a list of values.
        fixed: Columns that may not be changed.
    """
    symbols = [_marker(number, entry.color, hollow=False) for number, entry in enumerate(classes)]
    symbols.append(_marker(len(classes), _UNANSWERED, hollow=True))
    categories = [
        f'<category value={quoteattr(entry.name)} symbol="{number}" label={quoteattr(entry.name)} '
        'render="true" type="string"/>'
        for number, entry in enumerate(classes)
    ]
    # QGIS takes the empty value for all that is no other category, NULL among it.
    categories.append(f'<category value="" symbol="{len(classes)}" label="to be answered" render="true"/>')
    widgets = [_value_list(answer, [entry.name for entry in classes])]
    widgets += [_value_list(column, values) for column, values in lists.items()]
    editable = "".join(f'<field name={quoteattr(column)} editable="0"/>' for column in fixed)
    return _document(
        "Symbology|Fields|Forms",
        f'<renderer-v2 type="categorizedSymbol" attr={quoteattr(answer)} symbollevels="0" enableorderby="0" '
        f'forceraster="0"><categories>{"".join(categories)}</categories>'
        f"<symbols>{''.join(symbols)}</symbols></renderer-v2>"
        f"<fieldConfiguration>{''.join(widgets)}</fieldConfiguration><editable>{editable}</editable>",
    )


def outline_style() -> str:
    """A QGIS style (QML) that draws polygons as thin outlines, so that what lies below can be seen."""
    options = {
        "style": "no",
        "outline_style": "solid",
        "outline_color": _rgba(_UNANSWERED),
        "outline_width": "0.4",
        "outline_width_unit": "MM",
    }
    return _document(
        "Symbology",
        '<renderer-v2 type="singleSymbol" symbollevels="0" enableorderby="0" forceraster="0"><symbols>'
        f'<symbol type="fill" name="0" alpha="1">{_layer("SimpleFill", options)}</symbol>'
        "</symbols></renderer-v2>",
    )


def _document(categories: str, content: str) -> str:
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
        f'<qgis version="3.22.0" styleCategories="{categories}">{content}</qgis>\n'
    )


def _marker(number: int, color: Color, *, hollow: bool) -> str:
    options = {
        "name": "circle",
        "color": _rgba(color, 0 if hollow else 255),
        "outline_color": _rgba(color) if hollow else "35,35,35,255",
        "outline_width": "0.6" if hollow else "0.2",
        "size": "4" if hollow else "3",
        "size_unit": "MM",
    }
    return f'<symbol type="marker" name="{number}" alpha="1">{_layer("SimpleMarker", options)}</symbol>'


def _layer(kind: str, options: Mapping[str, str]) -> str:
    listed = "".join(f'<Option type="QString" name="{key}" value="{v}"/>' for key, v in options.items())
    return (
        f'<layer class="{kind}" enabled="1" pass="0" locked="0"><Option type="Map">{listed}</Option></layer>'
    )


def _rgba(color: Color, alpha: int = 255) -> str:
    return ",".join(map(str, (*color, alpha)))


def _value_list(column: str, values: Sequence[str]) -> str:
    listed = "".join(
        f'<Option type="Map"><Option type="QString" name={quoteattr(v)} value={quoteattr(v)}/></Option>'
        for v in values
    )
    return (
        f'<field name={quoteattr(column)} configurationFlags="None"><editWidget type="ValueMap"><config>'
        f'<Option type="Map"><Option type="List" name="map">{listed}</Option></Option>'
        "</config></editWidget></field>"
    )
