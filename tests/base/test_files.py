"""Files written in one step: whole or not at all, whoever else writes."""

import errno
import os
import threading

import pytest

from mpl_tf.base import files
from mpl_tf.base.errors import RunError


def names(folder):
    """Names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_into_a_new_folder_and_nothing_else_is_left(tmp_path):
    files.write_text(tmp_path / "a" / "b.txt", "one\n")
    files.write_text(tmp_path / "a" / "b.txt", "two\n")
    assert (tmp_path / "a" / "b.txt").read_text() == "two\n"
    assert names(tmp_path / "a") == ["b.txt"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt(), ValueError("no")])
def test_what_was_there_stays_where_the_writer_fails(tmp_path, error):
    path = tmp_path / "b.txt"
    files.write_text(path, "old")

    def fail(temporary):
        temporary.write_text("half")
        raise error

    with pytest.raises(RunError if isinstance(error, OSError) else type(error)):
        files.write(path, fail)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["b.txt"]


def test_a_folder_is_written_in_one_step_or_stays_as_it_was(tmp_path):
    def save(content, error=None):
        def write(temporary):
            (temporary / "deep").mkdir(parents=True)
            (temporary / "deep" / content).write_text(content)
            if error:
                raise error

        return write

    path = tmp_path / "new" / "model"
    for content in ("one", "two"):
        files.write_folder(path, save(content))
        assert names(path.parent) == ["model"] and names(path / "deep") == [content]
    for error in (OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt(), ValueError("no")):
        with pytest.raises(RunError if isinstance(error, OSError) else type(error)):
            files.write_folder(path, save("half", error))
        assert names(path.parent) == ["model"] and names(path / "deep") == ["two"]


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "free space on that disk"), (errno.EACCES, "mend the permissions"), (errno.EIO, "mend what it")],
)
def test_the_advice_is_that_of_the_failure(tmp_path, number, advice):
    def fail(temporary):
        raise OSError(number, os.strerror(number))

    with pytest.raises(RunError, match=f"b.txt: expected to write it, got .*{os.strerror(number)}; {advice}"):
        files.write(tmp_path / "b.txt", fail)


def test_writers_at_the_same_time_never_share_a_temporary_file(tmp_path):
    inside, used = threading.Barrier(4), []

    def save(temporary):
        used.append(temporary.name)
        temporary.write_text("whole")
        inside.wait()

    threads = [threading.Thread(target=files.write, args=(tmp_path / "b.keras", save)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(used)) == 4
    assert all(name.startswith(files.PARTIAL) and name.endswith("b.keras") for name in used)
    assert names(tmp_path) == ["b.keras"]


@pytest.mark.parametrize("name", ["x" * 255, "猫" * 80 + ".keras"])
def test_the_longest_names_of_a_file_system_are_written(tmp_path, name):
    files.write_text(tmp_path / name, "text")
    assert (tmp_path / name).read_text() == "text"


def test_names_that_are_not_utf_8_are_written_as_they_are(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    files.write_text(tmp_path / "list.csv", name)
    assert (tmp_path / "list.csv").read_bytes() == b"caf\xe9.jpg"


def test_sweep_takes_left_temporary_files_alone(tmp_path):
    for name in (".partial-config.json", ".partial-host-1-ab-x.keras", "config.json"):
        (tmp_path / name).write_text("")
    (tmp_path / ".partial-folder" / "deep").mkdir(parents=True)
    files.sweep(tmp_path)
    assert names(tmp_path) == ["config.json"]
    files.sweep(tmp_path / "absent")


def test_a_json_file_tells_whether_it_was_changed(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"b": [1, 2.5, None], "a": "é"})
    assert files.read_json(path) == {"b": [1, 2.5, None], "a": "é"}
    text = path.read_text()
    path.write_text(text.replace("2.5", "3.5"))
    with pytest.raises(ValueError, match="changed or damaged"):
        files.read_json(path)
    assert files.read_json(path, intact=False)["b"] == [1, 3.5, None]
    for other in ("[1]", "{", ""):
        path.write_text(other)
        with pytest.raises(ValueError, match=r"."):
            files.read_json(path)


def test_a_json_file_without_a_checksum_is_taken(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1}')
    assert files.read_json(tmp_path / "a.json") == {"a": 1}
