"""What `eoseg predict` says of a finished map."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from eoseg.predict import Estimate, Prediction, ValueRange
    from eoseg.recipe import Recipe


def print_estimate(estimate: "Estimate") -> None:
    """Print what a map will take, before its first tile."""
    memory, disk = estimate.memory_bytes / 2**20, estimate.disk_bytes / 2**20
    print(
        f"{estimate.tiles} tile(s) of {estimate.tile} px: about {_duration(estimate.seconds)}, "
        f"{memory:,.0f} MB of memory for a pass of the network, {disk:,.0f} MB on disk until the map is "
        "complete",
        flush=True,
    )


def _duration(seconds: float) -> str:
    """A duration as precise as an estimate is."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def print_prediction(prediction: "Prediction", recipe: "Recipe") -> None:
    """Print how a map was made, how far it may be trusted, and what it holds."""
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
    if prediction.resumed:
        say(f"Went on with {prediction.resumed} tile(s) that an earlier run had finished.")
    say(f"Runtime: {prediction.runtime}")
    say(_times(prediction))
    say(_exactness(prediction))
    if prediction.values is not None:
        say(_values(prediction.values, prediction))
    elif recipe.schema.classes:
        console.print(_class_table(prediction, recipe))
    say(f"Map: {prediction.path}")
    if prediction.probabilities is not None:
        say(f"Probabilities: {prediction.probabilities}")


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
    line = f"Not exact: {prediction.reason}."
    found = prediction.disagreement
    if found is None:
        return f"{line} How much the map depends on its tiles could not be measured."
    another = "another class"
    if prediction.values is not None:
        unit = prediction.values.quantity.unit
        another = f"a value that differs by more than {found.tolerance:.3g} {unit}".rstrip()
    return (
        f"{line} Where tiles lie elsewhere, {found.share:.2%} of {found.pixels:,} compared pixels get "
        f"{another}."
    )


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
