"""Who may import whom. The layers and walls of the package, and a checker that is tested itself."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "eoseg"

# From the top down: a module imports from lines below its own and from within its own package.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("report",),
    ("predict", "evaluate", "tracking"),
    ("tasks",),
    ("datasets", "models", "losses", "metrics", "figures"),
    ("batch", "calibration", "selective", "spatial_blocks"),
    ("geo",),
    ("recipe", "files", "progress"),
    ("errors",),
    ("__init__",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# Libraries that only these files and folders may import, anywhere in the file.
WALLS = {
    "rasterio": ("geo/",),
    "geopandas": ("geo/",),
    "pyogrio": ("geo/",),
    "shapely": ("geo/",),
    "lightning": (
        "tasks/",
        "datasets/base.py",
        "tracking/",
        "cli/trainer.py",
        "cli/scaling.py",
        "cli/output.py",
    ),
    "pytorch_lightning": (),
    "segmentation_models_pytorch": ("models/",),
    "timm": ("models/",),
    "torchvision": ("models/",),
    "torchgeo": ("models/", "datasets/torchgeo_build.py"),
    "wandb": ("tracking/",),
    "wandb_workspaces": ("tracking/publish.py",),
    "captum": ("tracking/insight.py",),
    "matplotlib": ("figures/",),
    "sklearn": ("models/",),
    "skops": ("models/",),
    "optuna": ("cli/tune.py",),
    "pyarrow": ("geo/",),
    "onnx": ("models/onnx_graph.py", "predict/onnx_file.py"),
    "onnxscript": (),
    "onnxruntime": ("predict/backends.py", "predict/onnx_file.py"),
    "openvino": ("predict/backends.py",),
}

# Libraries that cost seconds: imported in the functions that use them, never at module level.
LAZY = (
    *("segmentation_models_pytorch", "timm", "torchvision", "torchgeo"),
    *("matplotlib", "wandb", "geopandas", "kornia", "optuna", "pyarrow", "sklearn", "skops"),
    *("onnx", "onnxruntime", "openvino", "wandb_workspaces", "captum"),
)

# What importing a module of these must not load, directly or through other modules of eoseg.
LIGHT = {
    "torch": (
        "errors",
        "files",
        "recipe",
        "geo",
        "metrics",
        "calibration",
        "selective",
        "spatial_blocks",
        "figures",
        "evaluate",
        "report",
        "cli",
        "__init__",
    ),
    "lightning": ("models", "losses", "batch", "predict", "evaluate", "report", "metrics", "figures", "geo"),
}
# LightningCLI and what it calls; imported once the arguments are known to be right.
LIGHT_EXCEPT = (
    *("eoseg.cli.trainer", "eoseg.cli.scaling", "eoseg.cli.output", "eoseg.cli.finished"),
    *("eoseg.cli.calibration_run", "eoseg.cli.leakage_gate", "eoseg.cli.measured"),
)


@dataclass(frozen=True)
class Import:
    """One import statement's target."""

    target: str
    at_module_level: bool


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str
    path: str
    imports: tuple[Import, ...]

    @property
    def unit(self) -> str:
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else "__init__"


def read_package(root: Path) -> dict[str, Module]:
    files = sorted(root.rglob("*.py"))
    names = {_module_name(root, file) for file in files}
    modules = {}
    for file in files:
        name = _module_name(root, file)
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        tree = ast.parse(file.read_text(encoding="utf-8"))
        imports = tuple(_imports(tree, package, names, at_module_level=True))
        modules[name] = Module(name, f"{root.name}/{file.relative_to(root).as_posix()}", imports)
    return modules


def _module_name(root: Path, file: Path) -> str:
    parts = [root.name, *file.relative_to(root).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(node: ast.AST, package: str, names: set[str], *, at_module_level: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, at_module_level)
        elif isinstance(child, ast.ImportFrom):
            base = child.module or ""
            if child.level:
                above = package.split(".")[: len(package.split(".")) - child.level + 1]
                base = ".".join([*above, *([child.module] if child.module else [])])
            for alias in child.names:  # `from eoseg import models` imports eoseg.models
                whole = f"{base}.{alias.name}"
                yield Import(whole if whole in names else base, at_module_level)
        else:
            inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or (
                _is_type_checking(child)  # never run, but the layers hold all the same
            )
            yield from _imports(child, package, names, at_module_level=at_module_level and not inside)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def layer_faults(modules: dict[str, Module]) -> list[str]:
    faults = set()
    for module in modules.values():
        rank = RANK.get(module.unit)
        if rank is None:
            faults.add(f"{module.path} is in no layer: add '{module.unit}' to LAYERS")
            continue
        for entry in module.imports:
            if entry.target.partition(".")[0] != "eoseg":
                continue
            parts = entry.target.split(".")
            unit = parts[1] if len(parts) > 1 else "__init__"
            if unit != module.unit and RANK.get(unit, -1) <= rank:
                faults.add(f"{module.path} imports eoseg.{unit}: {module.unit} may not know {unit}")
    return sorted(faults)


def wall_faults(modules: dict[str, Module]) -> list[str]:
    faults = set()
    for module in modules.values():
        inner = module.path.partition("/")[2]
        for entry in module.imports:
            library = entry.target.partition(".")[0]
            allowed = WALLS.get(library)
            if allowed is not None and not inner.startswith(allowed):
                where = " and ".join(allowed) or "no file"
                faults.add(f"{module.path} imports {library}: {where} may")
            if library in LAZY and entry.at_module_level:
                faults.add(f"{module.path} imports {library} at module level: import it in the function")
    return sorted(faults)


def weight_faults(modules: dict[str, Module]) -> list[str]:
    faults = []
    for library, units in LIGHT.items():
        for module in modules.values():
            if module.unit not in units or module.name in LIGHT_EXCEPT:
                continue
            chain = _chain_to(library, module.name, modules)
            if chain:
                faults.append(f"{module.path} loads {library} when imported: {' -> '.join(chain)}")
    return sorted(faults)


def _chain_to(library: str, start: str, modules: dict[str, Module]) -> list[str] | None:
    """The shortest way on which importing a module imports a library, by module-level imports."""
    queue, seen = [[start]], {start}
    while queue:
        chain = queue.pop(0)
        module = modules[chain[-1]]
        targets = [entry.target for entry in module.imports if entry.at_module_level]
        if any(target.partition(".")[0] == library for target in targets):
            return [*chain, library]
        # Importing a.b.c also runs a/__init__.py and a/b/__init__.py.
        parts = [target.split(".") for target in [*targets, module.name]]
        loaded = {".".join(names[:length]) for names in parts for length in range(1, len(names) + 1)}
        for target in sorted(loaded & set(modules) - seen):
            seen.add(target)
            queue.append([*chain, target])
    return None


def cycle_faults(modules: dict[str, Module]) -> list[str]:
    """Cycles of imports, those inside functions included: a cycle is two halves of one module."""
    faults: list[str] = []
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> None:
        if name in trail:
            cycle = [*trail[trail.index(name) :], name]
            faults.append("imports go round: " + " -> ".join(cycle))
            return
        if name in done:
            return
        for entry in modules[name].imports:
            if entry.target in modules and entry.target != "eoseg":
                visit(entry.target, [*trail, name])
        done.add(name)

    for name in sorted(modules):
        visit(name, [])
    return faults


@pytest.mark.parametrize("check", [layer_faults, wall_faults, weight_faults, cycle_faults])
def test_the_package_keeps_its_layers(check) -> None:
    faults = check(read_package(PACKAGE))
    assert not faults, "\n" + "\n".join(faults)


def test_predict_knows_neither_lightning_nor_tasks() -> None:
    # Lightning takes 12 s to import; a map needs only the network and its recipe.
    for module in read_package(PACKAGE).values():
        if module.unit == "predict":
            targets = [entry.target for entry in module.imports]
            assert not [name for name in targets if name.startswith(("lightning", "eoseg.tasks"))], (
                module.path
            )


def package_of(tmp_path: Path, files: dict[str, str]) -> dict[str, Module]:
    root = tmp_path / "eoseg"
    for name, text in {"__init__.py": "", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in [path.parent, *path.parent.parents]:
            if folder.is_relative_to(root):
                (folder / "__init__.py").touch()
        path.write_text(text)
    return read_package(root)


@pytest.mark.parametrize(
    "statement",
    [
        "import eoseg.datasets.chips",
        "from eoseg.datasets.chips import Chips",
        "from eoseg import datasets",
        "from ..datasets import chips",
        "def build():\n    from eoseg.datasets import chips",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from eoseg.datasets import chips",
        "try:\n    import eoseg.datasets\nexcept ImportError:\n    pass",
    ],
)
def test_a_sideways_import_is_found_however_it_is_written(tmp_path: Path, statement: str) -> None:
    modules = package_of(tmp_path, {"models/unet.py": statement, "datasets/chips.py": ""})
    assert layer_faults(modules) == [
        "eoseg/models/unet.py imports eoseg.datasets: models may not know datasets"
    ]


def test_an_upward_import_is_found_and_a_downward_one_is_not(tmp_path: Path) -> None:
    modules = package_of(
        tmp_path,
        {"geo/scene.py": "from eoseg.tasks import task", "tasks/task.py": "from eoseg.geo import scene"},
    )
    assert layer_faults(modules) == ["eoseg/geo/scene.py imports eoseg.tasks: geo may not know tasks"]


def test_a_file_outside_all_layers_is_found(tmp_path: Path) -> None:
    assert layer_faults(package_of(tmp_path, {"misc.py": ""})) == [
        "eoseg/misc.py is in no layer: add 'misc' to LAYERS"
    ]


def test_a_library_behind_its_wall_is_found(tmp_path: Path) -> None:
    modules = package_of(
        tmp_path,
        {
            "predict/tiles.py": "def read():\n    import rasterio.windows",
            "models/unet.py": "import timm",
            "geo/scene.py": "import rasterio",
        },
    )
    assert wall_faults(modules) == [
        "eoseg/models/unet.py imports timm at module level: import it in the function",
        "eoseg/predict/tiles.py imports rasterio: geo/ may",
    ]


def test_a_heavy_library_is_found_through_other_modules(tmp_path: Path) -> None:
    modules = package_of(
        tmp_path,
        {
            "evaluate/page.py": "from eoseg.batch import IGNORE",
            "evaluate/late.py": "def page():\n    import torch",
            "batch.py": "import torch",
        },
    )
    assert weight_faults(modules) == [
        "eoseg/evaluate/page.py loads torch when imported: eoseg.evaluate.page -> eoseg.batch -> torch"
    ]


def test_a_heavy_library_in_a_package_file_counts_for_its_modules(tmp_path: Path) -> None:
    modules = package_of(tmp_path, {"geo/scene.py": "", "geo/__init__.py": "from torch import nn"})
    assert (
        "eoseg/geo/scene.py loads torch when imported: eoseg.geo.scene -> eoseg.geo -> torch"
    ) in weight_faults(modules)


def test_a_cycle_is_found_though_half_of_it_is_inside_a_function(tmp_path: Path) -> None:
    modules = package_of(
        tmp_path,
        {
            "geo/grid.py": "from eoseg.geo import scene",
            "geo/scene.py": "def f():\n    import eoseg.geo.grid",
        },
    )
    assert cycle_faults(modules) == ["imports go round: eoseg.geo.grid -> eoseg.geo.scene -> eoseg.geo.grid"]
