"""README.md and docs/ say what is there: links, paths, programs, flags, rows, columns, figures; licence, citation."""

import configparser
import csv
import importlib
import re
import statistics
from pathlib import Path

import pytest
import yaml

from mpl_tf.run.metrics_csv import OWN_COLUMNS
from mpl_tf.settings import flags
from mpl_tf.settings.catalogue import DATASETS, METHODS, NETWORKS
from mpl_tf.settings.config import Config
from tools._ablation import studies

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "tpu/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(r"(?<![\w./-])((?:flags|mpl_tf|tests|tools|docs|tpu|\.ci)/[\w./*-]*[\w/*])")
FLAG = re.compile(r"(?<![\w-])--([a-z]\w*)")
# Of pip, pytest, TensorBoard and Beam, whose flags the pages name too.
OTHERS = {
    # Of Apache Beam and its runners.
    *("direct_running_mode", "direct_num_workers", "dask_client_address", "dask_scheduler_file", "dask_npartitions"),
    *("dask_partition_size", "job_endpoint", "environment_type", "environment_config", "service_port", "flink_master"),
    *("spark_master_url", "project", "region", "staging_location", "temp_location", "sdk_container_image"),
    "help",
    "logdir",
    "runner",
}
README_BYTES = 9 * 1024

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page):
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table(page, head):
    """Rows of the table whose first line starts with `head`: list of lists of str."""
    lines = page.read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(head)) + 2
    last = next((number for number in range(first, len(lines)) if not lines[number].startswith("|")), len(lines))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[first:last]]


def code(cell):
    """Words in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def flags_of_programs():
    """Names of the flags of the trainer and of every program in tools/, and those of the scripts in tpu/."""
    classes = [Config, flags.Stored, flags.Common]
    for path in [*(ROOT / "tools").glob("*.py"), *(ROOT / "tools/studies").glob("*.py")]:
        if "\nCOMMAND = " in path.read_text():
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            classes += importlib.import_module(module).COMMAND.classes
    scripts = [FLAG.findall(path.read_text()) for path in (ROOT / "tpu").glob("*.sh")]
    return set().union(*scripts, *(cls.__dataclass_fields__ for cls in classes))


@every_page
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


@every_page
def test_paths_exist(page):
    """A word in capitals stands for a name: flags/method_NAME.flags."""
    for path in PATH.findall(page.read_text()):
        pattern = re.sub(r"[A-Z]{2,}N?(?![a-z])", "*", path) if not path.endswith("README.md") else path
        assert list(ROOT.glob(pattern)), path


@every_page
def test_programs_exist(page):
    for name in re.findall(r"python -m ([\w.]*\w)", page.read_text()):
        assert (ROOT / f"{name.replace('.', '/')}.py").is_file() or name == "pytest", name


def test_flags_exist():
    known = flags_of_programs() | OTHERS
    for page in PAGES:
        named = set(FLAG.findall(page.read_text()))
        assert {name for name in named if name not in known and name.removeprefix("no") not in known} == set(), page


def test_readme_is_short_and_names_the_commands_that_setup_cfg_installs():
    text = (ROOT / "README.md").read_bytes()
    assert len(text) <= README_BYTES
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    commands = re.findall(r"^mpl-tf-([\w-]+) =", setup["options.entry_points"]["console_scripts"], re.MULTILINE)
    assert commands
    (sentence,) = re.findall(r"`mpl-tf-` with ([^.]+)\.", text.decode())
    assert code(sentence) == commands


@pytest.mark.slow
def test_the_notebook_example_runs(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = {}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102
    assert names["accuracy"] > 0.8  # 0.88 on the machine that wrote the page; one digit in ten by chance.
    assert f"test accuracy {names['accuracy']:.2f}" in capsys.readouterr().out


def test_every_column_of_the_tables_is_explained():
    page = ROOT / "docs/workdir.md"
    assert {code(row[0])[0] for row in table(page, "| the run's own column |")} == set(OWN_COLUMNS)
    told = {name for row in table(page, "| validation's column |") for name in code(row[0])}
    assert told == {f"{role}_{kind}" for role in ("val", "val_teacher") for kind in ("accuracy", "loss")}
    explained = [code(row[0])[0] for row in table(page, "| column | what it is |")]
    # A family of methods explains the columns that it has alone where it is explained itself.
    explained += re.findall(r"^- column `(\w+)`: \S", (ROOT / "docs/methods.md").read_text(), re.MULTILINE)
    assert len(set(explained)) == len(explained)
    assert set(explained) == {column for row in METHODS.values() for column in row.resolve().log_names}


def test_every_row_of_the_catalogue_is_explained():
    methods = ROOT / "docs/methods.md"
    listed = table(methods, "| `--method` |")
    assert [(code(row[0])[0], row[4] == "yes") for row in listed] == [(row.name, row.mesh) for row in METHODS.values()]
    assert re.findall(r"^\*\*(\w+)\.\*\* ", methods.read_text(), re.MULTILINE) == list(METHODS)
    for names, _, _, smallest in table(methods, "| `--model` |"):
        assert {str(NETWORKS[name].smallest or "") for name in code(names)} == {smallest}
    assert [name for row in table(methods, "| `--model` |") for name in code(row[0])] == list(NETWORKS)
    told = {code(row[0])[0]: row for row in table(ROOT / "docs/data.md", "| `--dataset` |")}
    assert set(told) == set(DATASETS)
    for name, row in DATASETS.items():
        assert row.tfds is None or told[name][5] == ("yes" if row.flip else "no"), name
        assert row.tfds is None or f"{row.shape[0]} x {row.shape[1]}, {row.classes} " in told[name][4], name


@pytest.mark.parametrize(
    ("page", "head", "digits"),
    [("README.md", "| method | what it adds |", 1), ("docs/results/README.md", "| method | test top-1, %", 2)],
)
def test_the_methods_figures_are_those_of_their_runs(page, head, digits):
    # The seconds are those of an idle machine, on which FlexMatch and FreeMatch were not run.
    runs, idle = _by_name("runs.csv"), _by_name("idle_seconds.csv")
    told = 0
    for cells in table(ROOT / page, head):
        name = (code(cells[0]) or cells)[0]
        if name not in runs:
            assert not re.search(r"\d", cells[-2])
            continue
        found = [100 * float(run["top1"]) for run in runs[name]]
        spread = f"{statistics.mean(found):.{digits}f} ± {statistics.stdev(found):.{digits}f}"
        assert spread in cells, name
        if page == "README.md":
            seconds = [float(run["seconds"]) for run in idle.get(name, [])]
            assert cells[-1] == (f"{statistics.mean(seconds):.0f}" if seconds else ""), name
        told += 1
    assert told >= len(runs) - 1
    assert set(runs) - set(idle) == {"flexmatch", "freematch"}


def _by_name(file):
    """dict of row name to its runs, of a table of the study of methods."""
    runs = {}
    with open(ROOT / "docs/results/methods" / file, newline="") as lines:
        for row in csv.DictReader(lines):
            runs.setdefault(row["name"], []).append(row)
    return runs


def test_the_figures_of_feedback_are_those_of_its_runs():
    folder = ROOT / "docs/results"
    page, head = folder / "feedback.md", "| photographs | what is added |"
    assert table(page, head) == table(folder / "feedback/gains.md", head)
    # The controls: mean, difference with its interval and corrected p of each row, in the order of this page.
    names = ["off", "exact", "batch mean", "minus mean", "minus mean shuffled", "shuffled rows", "shuffled labels"]
    rows = {row[0]: row for row in table(folder / "photographs/40/table.md", "| row |")}
    told = table(page, "| the teacher is told |")
    assert len(told) == len(names) + 1
    for cells, name in zip(told, [*names, "random direction"], strict=True):
        row = rows[name]
        assert cells[1] == row[2].split(" ")[0], name
        if name != "off":
            assert cells[2] == row[4] and float(cells[3]) == pytest.approx(float(row[6]), rel=0.2), name
    deciding = {row[0]: row for row in table(folder / "photographs/deciding/table.md", "| row |")}
    (sentence,) = re.findall(r"\*\*The deciding pair\*\*.*?after Holm\)", page.read_text(), re.DOTALL)
    for name in ("exact, balance", "off, balance", "uda, balance"):
        assert deciding[name][2].split(" ")[0] in sentence


def test_the_study_of_ones_own_is_read_as_the_page_says(tmp_path):
    (example,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs/extending.md").read_text(), re.DOTALL)
    (tmp_path / "mine.json").write_text(example)
    study = str(tmp_path / "mine.json")
    assert list(studies.rows(study)) == ["off", "weight 1", "weight 3"]
    assert [studies.reference(study, name) for name in studies.rows(study)] == ["off", "off", "weight 1"]
    for arguments in studies.rows(study).values():
        flags.parse(["--dataset=digits_50", *arguments])


def test_every_study_is_in_the_index():
    folder = ROOT / "docs/results"
    linked = {
        (folder / target.partition("#")[0]).resolve() for target in LINK.findall((folder / "README.md").read_text())
    }
    assert {path for path in folder.rglob("*.md") if path.parent != folder} <= linked


def test_licence_and_citation_agree_with_setup_cfg():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0"
    assert cited["type"] == "software"
    assert cited["version"] == setup["metadata"]["version"]
    assert cited["license"] == setup["metadata"]["license"] == "Apache-2.0"
    (paper,) = cited["references"]
    assert paper["title"] == "Meta Pseudo Labels"
    assert [author["family-names"] for author in paper["authors"]] == ["Pham", "Dai", "Xie", "Le"]
    text = (ROOT / setup["metadata"]["license_files"]).read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
