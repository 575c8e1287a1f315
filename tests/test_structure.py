"""What holds for every file of the repository."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "eoseg").rglob("*.py"))
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))

# Files without a test file of their own, and why.
NOT_MIRRORED = {
    "eoseg/__init__.py": "holds the version alone",
    "eoseg/__main__.py": "calls the command line",
    "eoseg/cli/__init__.py": "is tested by tests/cli/test_help.py",
    "eoseg/predict/runner.py": "holds types alone",
}

MAX_LINES = 400
MAX_CONFIG_LINES = 30

# Written in parts, so that this file does not find itself.
INDEX_HOSTS = re.compile(
    "|".join(["pypi" + r"\.org", "pythonhosted" + r"\.org", "download" + r"\.pytorch\.org"])
)
MACHINE_PATHS = re.compile(
    "|".join(f"(?<![\\w.~$}}])/{name}/" for name in ("work", "root", "mnt", "Users", "home/[a-z]+"))
)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tracked_text() -> Iterator[tuple[str, str]]:
    """Path and content of each text file that is, or is about to be, under version control."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("this is no git repository")
    for name in filter(None, listing.stdout.split("\0")):
        path = ROOT / name
        if path.is_file():
            yield name, path.read_text(encoding="utf-8")


def test_each_module_has_its_test_file() -> None:
    missing = []
    for source in SOURCES:
        inner = source.relative_to(ROOT / "eoseg")
        if relative(source) in NOT_MIRRORED:
            continue
        # A package's own file is tested where its name says so: eoseg/models/__init__.py in
        # tests/models/test_models.py.
        is_package = inner.name == "__init__.py"
        stem = inner.parent.name if is_package else inner.stem
        if is_package and not _has_code(source):
            continue
        folder = ROOT / "tests" / inner.parent
        # Test files have unique names; where two modules share one, the folder's name comes first.
        names = (f"test_{stem}.py", f"test_{inner.parent.name}_{stem}.py")
        if not any((folder / name).is_file() for name in names):
            missing.append(f"{relative(source)} needs {relative(folder)}/{names[0]}")
    assert not missing, "\n" + "\n".join(missing)


def _has_code(source: Path) -> bool:
    """Whether a file holds more than a docstring, imports and constants."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    return any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in tree.body)


def test_each_exception_from_mirroring_is_still_there() -> None:
    assert [name for name in NOT_MIRRORED if not (ROOT / name).is_file()] == []


def test_test_files_have_unique_names() -> None:
    # pytest imports test files by their bare name where folders hold no __init__.py.
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_everything_public_has_a_docstring() -> None:
    bare = []
    for source in SOURCES:
        tree = ast.parse(source.read_text(encoding="utf-8"))
        if tree.body and ast.get_docstring(tree) is None:
            bare.append(relative(source))
        bare += [
            f"{relative(source)}:{node.lineno} {node.name}" for node in _public(tree) if not _is_told(node)
        ]
    assert not bare, "\n" + "\n".join(bare)


type Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _public(node: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    for child in node.body:
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if child.name.startswith("_"):
                continue
            yield child
            if isinstance(child, ast.ClassDef):
                yield from _public(child)


def _is_told(node: Definition) -> bool:
    decorators = " ".join(ast.unparse(entry) for entry in node.decorator_list)
    return ast.get_docstring(node) is not None or "override" in decorators or "setter" in decorators


def test_only_the_command_line_prints() -> None:
    printing = []
    for source in SOURCES:
        if source.is_relative_to(ROOT / "eoseg" / "cli"):
            continue
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                printing.append(f"{relative(source)}:{node.lineno}")
    assert printing == []


def test_no_file_is_too_long_or_a_drawer_for_odds_and_ends() -> None:
    lines = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}
    assert [
        name for name in lines if name.endswith(("/utils.py", "/helpers.py", "/common.py", "/misc.py"))
    ] == []


def test_the_package_has_two_folder_levels_at_most() -> None:
    assert [relative(path) for path in SOURCES if len(path.relative_to(ROOT / "eoseg").parts) > 2] == []


@pytest.mark.parametrize("config", CONFIGS, ids=relative)
def test_a_configuration_is_yaml_of_at_most_thirty_lines(config: Path) -> None:
    text = config.read_text(encoding="utf-8")
    assert isinstance(yaml.safe_load(text), dict)
    assert len(text.splitlines()) <= MAX_CONFIG_LINES


def test_no_file_names_a_package_index_or_a_path_of_one_machine() -> None:
    found = []
    for name, text in tracked_text():
        for number, line in enumerate(text.splitlines(), start=1):
            if INDEX_HOSTS.search(line) or MACHINE_PATHS.search(line):
                found.append(f"{name}:{number} {line.strip()[:80]}")
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("data: /roo" + "t/data/scene.tif", True),
        ("open('/wor" + "k/main/x.tif')", True),
        ("/home/" + "anna/scenes", True),
        ("--extra-index-url https://" + "pypi" + ".org/simple", True),
        ("../shared/data and framework/root/x", False),
        ("$HOME/work/x, https://example.com/root/x", False),
    ],
)
def test_the_search_for_machine_paths_finds_what_it_should(line: str, is_found: bool) -> None:
    assert bool(INDEX_HOSTS.search(line) or MACHINE_PATHS.search(line)) == is_found


def test_text_files_end_their_lines_as_unix_does_and_hold_no_binary() -> None:
    wrong = [name for name, text in tracked_text() if "\r" in text or "\0" in text]
    assert wrong == []


def test_the_file_tree_of_the_readme_is_true() -> None:
    readme = ROOT / "README.md"
    if not readme.is_file():
        pytest.skip("there is no README.md")
    listed = list(_tree_paths(readme.read_text(encoding="utf-8")))
    assert [name for name in listed if not (ROOT / name).exists()] == []
    packages = sorted(relative(path.parent) for path in (ROOT / "eoseg").glob("*/__init__.py"))
    named = {name.rstrip("/") for name in listed}
    assert [name for name in packages if name not in named] == []


def _tree_paths(text: str) -> Iterator[str]:
    """Paths of the annotated tree: the fenced block whose first line is a folder, two spaces a level."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        lines = block.splitlines()
        if language not in ("", "text") or not any(line.startswith("eoseg/") for line in lines):
            continue
        folders: list[str] = []
        for line in lines:
            match = re.match(r"(?P<indent> *)(?P<name>[\w./-]+)", line)
            if match is None:
                continue
            level = len(match["indent"]) // 2
            folders = folders[:level]
            yield "".join(folders) + match["name"]
            if match["name"].endswith("/"):
                folders.append(match["name"])


def test_the_reader_of_the_tree_joins_folders_and_names() -> None:
    text = "```\neoseg/\n  geo/     where pixels are\n    grid.py  Grid\n  batch.py\nscripts/setup\n```\n"
    assert list(_tree_paths(text)) == [
        "eoseg/",
        "eoseg/geo/",
        "eoseg/geo/grid.py",
        "eoseg/batch.py",
        "scripts/setup",
    ]


def test_each_dependency_gives_the_reason_for_its_bound() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    requirements = text[text.index("dependencies = [") : text.index("[project.scripts]")]
    entries = re.findall(r'^(?:\s+"|(?:wandb|explain|tensorboard) = ).*$', requirements, flags=re.MULTILINE)
    assert len(entries) > 15
    assert [line for line in entries if "#" not in line] == []
