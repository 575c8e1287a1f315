"""What `eoseg predict` says of a finished map."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from eoseg.predict import Disagreement, Estimate, OutOfRange, Prediction, ValueRange
    from eoseg.recipe import Recipe


def print_estimate(estimate: "Estimate") -> None:
    """Print what a map will take, before its first tile."""
    memory, disk = estimate.memory_bytes / 2**20, estimate.disk_bytes / 2**20
    passes = ""
    if estimate.passes.count > 1:
        networks = "network" if estimate.passes.networks == 1 else "networks"
        passes = f", each {estimate.passes.count} times through the {networks} ({estimate.passes})"
    again, strip = "", ""
    if estimate.computed is not None and estimate.computed > estimate.tiles:
        again = f" ({estimate.computed - estimate.tiles} of them computed again, for others to blend with)"
    if estimate.strip_bytes:
        strip = f" and {max(1, estimate.strip_bytes / 2**20):,.0f} MB to blend tiles"
    print(
        f"{estimate.tiles} tile(s) of {estimate.tile} px{again}{passes}: about "
        f"{_duration(estimate.seconds)}, {memory:,.0f} MB of memory for a pass of the network{strip}, "
        f"{disk:,.0f} MB on disk until the map is complete",
        flush=True,
    )


def _duration(seconds: float) -> str:
    """A duration as precise as an estimate is."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def print_prediction(prediction: "Prediction", recipe: "Recipe", *, seams_checked: bool = False) -> None:
    """Print how a map was made, how far it may be trusted, and what it holds.

    Args:
        prediction: The map.
        recipe: Of its network.
        seams_checked: Whether it was asked to compare tiles, also where the map is exact.
    """
    from rich.console import Console

    console = Console()

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    for notice in prediction.notices:
        say(f"Note: {notice}")
    skipped = f", {prediction.skipped} of them skipped (no valid pixel)" if prediction.skipped else ""
    say(
        f"{prediction.pixels:,} px in {prediction.seconds:.1f} s "
        f"({prediction.megapixels_per_second:.2f} MP/s{_area(prediction)}) on {prediction.device}: "
        f"{prediction.tiles} tile(s) of {prediction.tile} px, halo {prediction.halo} px{skipped}"
    )
    if prediction.passes.count > 1:
        say(f"Mean over {prediction.passes}: {prediction.passes.count} passes for each tile.")
    if prediction.resumed:
        say(f"Went on with {prediction.resumed} tile(s) that an earlier run had finished.")
    say(f"Runtime: {prediction.runtime}")
    say(_times(prediction))
    say(_exactness(prediction))
    if prediction.exact and seams_checked:
        say(_seams(prediction))
    if prediction.out_of_range is not None:
        say(_out_of_range(prediction.out_of_range))
    if prediction.values is not None:
        say(_values(prediction.values, prediction))
    elif recipe.schema.classes:
        console.print(_class_table(prediction, recipe))
    for line in _files(prediction):
        say(line)


def _files(prediction: "Prediction") -> list[str]:
    files = {
        "Map": prediction.path,
        "Probabilities": prediction.probabilities,
        "Uncertainty": prediction.uncertainty,
        "STAC item": prediction.item,
    }
    return [f"{title}: {path}" for title, path in files.items() if path is not None]


def _area(prediction: "Prediction") -> str:
    if prediction.square_kilometres is None:
        return ""
    return f", {prediction.square_kilometres / prediction.seconds:.3g} km2/s"


def _times(prediction: "Prediction") -> str:
    """What the time was spent on, of this process."""
    times, total = prediction.times, prediction.seconds
    rest = total - (times.compute + times.read + times.write + times.finish)
    return (
        f"Time: {times.compute / total:.0%} computing, {times.read / total:.0%} waiting for reads, "
        f"{times.write / total:.0%} waiting for writes, {times.finish / total:.0%} making and checking the "
        f"files, {max(0.0, rest) / total:.0%} starting"
    )


def _exactness(prediction: "Prediction") -> str:
    if prediction.exact:
        rounding = "" if prediction.device == "cpu" else ", up to the rounding of the device"
        return (
            f"Exact: the map equals the network's result on the whole scene{rounding} ({prediction.reason})."
        )
    over = (
        f"Tiles are blended over {prediction.blended} px" if prediction.blended else "Tiles are not blended"
    )
    line = f"Not exact: {prediction.reason}. {over}."
    found = prediction.disagreement
    if found is None:
        return f"{line} How much the map depends on its tiles could not be measured."
    another = "another class"
    if prediction.values is not None:
        unit = prediction.values.quantity.unit
        another = f"a value that differs by more than {found.tolerance:.3g} {unit}".rstrip()
    return (
        f"{line} Where tiles lie elsewhere, {found.share:.2%} of {found.pixels:,} compared pixels get "
        f"{another}.{_places(found)}"
    )


def _places(found: "Disagreement") -> str:
    """Where pixels differ."""
    if found.worst is None:
        return ""
    worst = found.worst
    return (
        f" Within {found.near_px} px of a border of tiles that is {found.near_share:.2%}, elsewhere "
        f"{found.inner_share:.2%}; at worst {worst.share:.1%} of a line, in {worst.axis} {worst.place}."
    )


def _seams(prediction: "Prediction") -> str:
    """What a check of an exact map found."""
    found = prediction.disagreement
    if found is None:
        return "Seams: nothing to compare. There is one tile, or none whose neighbours lie a stride further."
    unexplained = found.differing - found.ties
    start = f"Seams: where tiles lie elsewhere, {unexplained or 'none'} of {found.pixels:,} compared pixels"
    ties = f" ({found.ties} ties aside, of classes equally likely up to rounding)" if found.ties else ""
    return f"{start} differ{ties}.{_places(found) if unexplained else ''}"


def _out_of_range(found: "OutOfRange") -> str:
    """Where the scene has values that the network was never trained on."""
    from eoseg.predict.out_of_range import FLAGGED_SHARE

    line = (
        f"Out of range: {found.flagged or 'none'} of {found.tiles} tile(s) with values that training never "
        f"saw in more than {FLAGGED_SHARE:.0%} of their pixels"
    )
    if not found.worst:
        return f"{line}."
    place = "" if found.place is None else f" (x {found.place[0]:.10g}, y {found.place[1]:.10g})"
    return f"{line}; worst {found.worst:.1%}, around row {found.row}, column {found.column}{place}."


def _values(values: "ValueRange", prediction: "Prediction") -> str:
    unit = f" {values.quantity.unit}".rstrip()
    without = prediction.pixels - prediction.valid_pixels
    rest = f"; {without:,} px have no value" if without else ""
    return (
        f"{values.quantity.name}: {values.least:.5g} to {values.most:.5g}{unit}, mean {values.mean:.5g}"
        f"{unit}, on {prediction.valid_pixels:,} px{rest}"
    )


def _class_table(prediction: "Prediction", recipe: "Recipe") -> "Table":
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    title = "label" if recipe.schema.multilabel else "class"
    table = Table(title, "", box=None, pad_edge=False)
    table.add_column("pixels", justify="right")
    table.add_column("share", justify="right")
    for entry, mapped in zip(recipe.schema.classes, prediction.class_pixels, strict=True):
        red, green, blue = entry.color
        patch = Text("██", style=f"rgb({red},{green},{blue})")
        table.add_row(escape(entry.name), patch, f"{mapped:,}", f"{mapped / prediction.valid_pixels:.1%}")
    rest = prediction.pixels - prediction.valid_pixels
    if rest:
        table.add_row("(no value)", "", f"{rest:,}", "")
    return table
