"""The layout of docs/extending.md: who imports whom, how long modules and functions are, what the package holds."""

import ast
import configparser
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = sorted((ROOT / "mpl_tf").rglob("*.py"))
SOURCES = PACKAGE + sorted((ROOT / "tools").rglob("*.py"))
# A room imports only from rooms below it, and a module of it also from its own room. Data, models and devices stand on
# settings, as each looks its own rows up in the catalogue there.
FLOORS = {
    "base": 1,
    "settings": 2,
    "data": 3,
    "models": 3,
    "devices": 3,
    "step": 4,
    "datasets": 4,
    "methods": 5,
    "run": 6,
    "filtering": 7,
    "api": 7,
    "main": 8,
}


def imported(path):
    """Names of the project's modules that a file imports, without `mpl_tf.`, the part before the first dot."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "mpl_tf":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mpl_tf."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("mpl_tf."))


def room(path):
    """The room that a module stands in, as FLOORS names it."""
    return path.relative_to(ROOT / "mpl_tf").parts[0].removesuffix(".py")


def test_every_room_has_a_floor():
    assert {room(path) for path in PACKAGE} - {"__init__"} == set(FLOORS)


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    if room(path) == "__init__":
        return
    for name in imported(path):
        assert name == room(path) or FLOORS[name] < FLOORS[room(path)], f"{path.name} imports {name}"


def module(path):
    """Name of a file's module; that of a package is its __init__.py's."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path, modules):
    """Those of `modules` that a file imports anywhere, within functions too."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            base = ".".join([*above, *filter(None, [node.module])])
            named = (f"{base}.{alias.name}" for alias in node.names)
            yield from (name if name in modules else base for name in named if {name, base} & modules)


def test_no_module_imports_itself_by_way_of_others():
    """Imports within functions count: what they put off is still a circle to who reads."""
    names = {module(path) for path in SOURCES}
    graph = {module(path): set(imports(path, names)) - {module(path)} for path in SOURCES}
    # One at the head by its place, one within a function by its name: both are seen.
    assert {"tools._benchmark.peaks", "mpl_tf.methods"} <= graph["tools._benchmark.measure"]
    try:
        order = list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        raise AssertionError(f"a circle of imports: {' <- '.join(error.args[1])}") from error
    assert set(order) == names


def covered():
    """Modules of the package that a test file stands for: by its name, or named in its docstring after `Covers:`.

    A test of mpl_tf/ROOM/MODULE.py is tests/ROOM/test_MODULE.py, or names MODULE.py, from its own folder.
    """
    for test in (ROOT / "tests").rglob("test_*.py"):
        folder = ROOT / "mpl_tf" / test.parent.relative_to(ROOT / "tests")
        yield folder / test.name.removeprefix("test_"), None
        named = re.search(
            r"^Covers: (.*?)(?:\n\n|\Z)", ast.get_docstring(ast.parse(test.read_text())) or "", re.S | re.M
        )
        yield from ((folder / name.strip(), test) for name in (named.group(1).split(",") if named else ()))


def test_each_module_has_its_test_or_the_test_of_its_room_says_that_it_covers_it():
    found = dict(covered())
    for path, test in found.items():
        assert test is None or path.exists(), f"{test.relative_to(ROOT)} covers {path.name}, which is not there"
    # A package's own file needs one where it does more than say what the package is.
    wanted = [path for path in PACKAGE if path.name != "__init__.py" or len(ast.parse(path.read_text()).body) > 2]
    missing = [str(path.relative_to(ROOT)) for path in wanted if path not in found]
    assert not missing, f"no test: {missing}; add tests/ROOM/test_MODULE.py, or name it after `Covers:` in a test there"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_are_short_and_public_ones_documented(path):
    tree = ast.parse(path.read_text())
    assert len(path.read_text().splitlines()) <= 250
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            length = node.end_lineno - node.lineno + 1
            assert length <= (60 if isinstance(node, ast.FunctionDef) else 250), node.name
            inner = node.name.startswith("_") or not isinstance(node, ast.FunctionDef)
            nested = node.col_offset > 0 and not is_method(tree, node)
            overrides = {"get_config", "__call__"}
            assert inner or nested or node.name in overrides or ast.get_docstring(node), f"{node.name} has no docstring"


def is_method(tree, function):
    """Whether a function is directly in a class."""
    return any(function in node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def test_only_flags_py_reads_flags_in_the_package_and_few_modules_may_import_keras_cv():
    for path in PACKAGE:
        text = path.read_text()
        assert "absl" not in text or path.name in ("flags.py", "config.py"), path
        assert "import keras_cv" not in text or path.name in ("augment.py", "operations.py", "foreign.py"), path
        assert not text.startswith("import keras_cv") and "\nimport keras_cv" not in text, path  # Takes seconds.


def test_setup_cfg_names_every_package_and_its_flagfiles():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    packages = setup["options"]["packages"].split()
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE}
    tools = {".".join(("mpl_tf", *path.parent.relative_to(ROOT).parts)) for path in SOURCES if path not in PACKAGE}
    assert set(packages) == found | tools | {"mpl_tf.recipes"}
    assert "mpl_tf.recipes = flags" in setup["options"]["package_dir"]
    assert "*.flags" in setup["options.package_data"]["mpl_tf.recipes"]


def test_only_filtering_imports_beam_and_pyarrow_and_the_reader_of_parquet_files_where_it_opens_one():
    for path in PACKAGE:
        for name in ("apache_beam", "pyarrow", "filtering"):
            allowed = room(path) == "filtering" or (path.name, name) == ("parquet.py", "pyarrow")
            assert f"import {name}" not in path.read_text() or allowed, path
    assert "\nimport pyarrow" not in (ROOT / "mpl_tf" / "data" / "parquet.py").read_text()


# Where the package speaks to the disk itself, and why no path that a user gave comes there: all these go through
# mpl_tf/base/storage, which has URLs too.
ON_DISK = {
    "base/files.py": "the disk's half of `write`",
    "base/gpu.py": "of the machine",
    "base/lock.py": "the disk's half of a lock",
    "base/memory.py": "of the machine",
    "base/versions.py": "of the program",
    "data/contents.py": "of the disk's half",
    "data/members.py": "what it unpacks, in the folder of what is kept",
    "data/nearby.py": "what a disk has beside a folder that was meant",
    "data/streamed.py": "of the disk's half",
    "data/tfds.py": "names below a folder, and other versions on the disk",
    "data/tfrecord.py": "of the disk's half",
    "filtering/inputs.py": "a temporary file",
    "filtering/reading.py": "a shard on the disk",
    "filtering/report.py": "of the program",
    "models/saved.py": "a copy on the disk",
    "run/block_store.py": "a copy on the disk",
    "run/checkpoints.py": "a copy on the disk",
    "run/longer.py": "a copy on the disk",
    "run/metrics_csv.py": "a copy on the disk",
    "run/predictions.py": "a temporary file",
    "run/report/charts.py": "a copy on the disk",
    "run/report/report.py": "of the program",
    "run/report/tables.py": "of the machine",
    "settings/flags.py": "of the program",
}
DISK = {
    f"os.{name}" for name in ("listdir", "makedirs", "mkdir", "remove", "rename", "scandir", "stat", "unlink", "walk")
}
DISK |= {f"os.path.{name}" for name in ("exists", "getsize", "isdir", "isfile", "realpath")}
DISK |= {"open", "Path", "pathlib.Path", "io.open", "os.replace", "glob.glob", "shutil.rmtree"}


def test_paths_that_users_give_go_through_the_storage_layer():
    for path in PACKAGE:
        name = str(path.relative_to(ROOT / "mpl_tf"))
        if name.startswith("base/storage/"):
            continue
        tree = ast.parse(path.read_text())
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)} & DISK
        assert not calls or name in ON_DISK, (
            f"{name} calls {', '.join(sorted(calls))}; take it from mpl_tf.base.storage"
        )
        assert calls or name not in ON_DISK, f"{name} speaks to no disk any more: its line in ON_DISK is old"
        # Whether a path is a URL is for the layer to say.
        texts = [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        library = name == "models/foreign.py"  # KerasCV's own names of presets.
        assert library or "://" not in texts, f"{name} asks for ://; storage.is_url knows"
