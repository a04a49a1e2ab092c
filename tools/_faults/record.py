"""What a process does to the files of a folder: recorded by strace, then done again operation by operation.

Before each operation the folder is as a kill (SIGKILL, the end of the machine) at that moment would leave it, so that
one recorded run gives every such state, exactly. Writes through memory maps are no system calls: what such a file
holds in the end stands for what it holds whenever it is sent to the disk (msync). Whoever replays compares the end with
the folder itself.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from mpl_tf.base.errors import RunError, UsageError

CALLS = (
    *("open", "openat", "creat", "write", "pwrite64", "lseek", "ftruncate", "truncate", "fallocate"),
    *("mmap", "msync"),
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "link", "symlink"),
)
LINE = re.compile(
    r"(?P<pid>\d+) +(?P<call>\w+)\((?P<arguments>.*)\) += (?P<result>0x[0-9a-f]+|-?\d+)(?:<(?P<file>.*?)>)?"
)
UNFINISHED = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>$")
RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)$")
TEXT = re.compile(r"(?:\\x[0-9a-f]{2})+")


class Operation(NamedTuple):
    """One change of a folder.

    kind: "make" (a file, or an empty one in the place of one), "write", "truncate", "rename", "unlink", "mkdir",
        "rmdir"; before `filled` also "sync", a write whose bytes are not known.
    path: of what is changed, relative to the folder.
    data: of a write, the bytes; of a rename, the new path, str.
    place: of a write, where in the file; of a truncate, the new length; None: at the end of the file.
    """

    kind: str
    path: str
    data: object = b""
    place: int | None = 0

    def __str__(self):
        return f"{self.kind} {self.path}" + (f" to {self.data}" if self.kind == "rename" else "")


def record(command, folder, log):
    """Run a command to its end and list what it changed in a folder.

    Args:
        command: list of str.
        folder: absolute Path; it may be absent.
        log: Path for strace's own file, removed at the end.
    Returns:
        list of Operation, in the order of their time.
    Raises:
        UsageError: no strace here.
        RunError: the command failed, or strace did.
    """
    if shutil.which("strace") is None:
        raise UsageError("strace: expected it to record the file operations, not found; apt-get install strace")
    options = ("-f", "-y", "-xx", "-s", str(2**24), "--seccomp-bpf", "-e", f"trace={','.join(CALLS)}", "-o", str(log))
    done = subprocess.run(["strace", *options, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunError(f"{command}: expected it to end well under strace, got {done.returncode}: {done.stderr[-500:]}")
    try:
        with open(log) as lines:
            return filled(list(operations(lines, folder)), folder)
    finally:
        Path(log).unlink()


def operations(lines, folder):
    """The changes of a folder in strace's lines (-f -y -xx), one Operation after the other.

    Args:
        lines: iterable of str.
        folder: absolute Path.
    """
    # Of each open file of the folder, by its number: where its next write goes; None: at the end. Of each memory map,
    # by its address: the file's path.
    places = {}
    for call, arguments, result, file in _calls(lines):
        if result >= 0:
            yield from _changes(call, arguments, result, file, str(folder) + os.sep, places)


def filled(changes, folder):
    """The Operations with each "sync" as a write of what its file holds in the end, under its last name.

    Args:
        changes: list of Operation.
        folder: Path, as the last of them left it.
    """
    found, names = [], {}  # Of each name that a file still loses, its last one.
    for operation in reversed(changes):
        path = operation.path
        if operation.kind == "rename":
            names[path] = names.get(operation.data, operation.data)
        written = operation.kind == "sync" and Path(folder, names.get(path, path)).read_bytes()
        found.append(Operation("write", path, written, 0) if written else operation)
    return found[::-1]


def _calls(lines):
    """(call, its arguments as list of str, result, the file it opened or ""), paths and data still in hexadecimal."""
    begun = {}  # Of each thread, a call whose line another thread's has cut in two.
    for line in lines:
        cut, resumed = UNFINISHED.match(line), RESUMED.match(line)
        if cut:
            begun[cut[1]] = cut[3]
            continue
        if resumed:
            whole = f"{resumed[1]} {resumed[2]}({begun.pop(resumed[1], '')}{resumed[3]}"
        found = LINE.match(whole if resumed else line)
        if found:
            yield found["call"], found["arguments"].split(", "), int(found["result"], 0), found["file"] or ""


def _changes(call, arguments, result, opened, root, places):
    """The Operations of a call, none or one; notes in `places` where open files stand."""
    # Calls on open files: strace writes `3</path>` for each.
    number = arguments[0].partition("<")[0]
    path = _within(_file(arguments[0]), root)
    if call in ("write", "pwrite64", "lseek", "ftruncate") and path is not None:
        yield from _on_open_file(call, number, path, arguments, result, places)
    elif call in ("open", "openat", "creat"):
        path = _within(_file(opened), root)
        flags = next((part for part in arguments if part.startswith("O_")), "O_TRUNC")
        if path is not None and "O_DIRECTORY" not in flags:
            places[str(result)] = None if "O_APPEND" in flags else 0
            # Whether the file is new is known when it is done again.
            if "O_CREAT" in flags or "O_TRUNC" in flags:
                yield Operation("make", path, place=0 if "O_TRUNC" in flags else None)
    elif call == "mmap":
        if len(arguments) > 4 and "MAP_SHARED" in arguments[3] and "PROT_WRITE" in arguments[2]:
            places[f"{result:#x}"] = _within(_file(arguments[4]), root)
    elif call == "msync":
        if places.get(arguments[0]) is not None:
            yield Operation("sync", places[arguments[0]])
    elif call not in ("write", "pwrite64", "lseek", "ftruncate"):
        yield from _on_paths(call, arguments, root)


def _on_open_file(call, number, path, arguments, result, places):
    if call == "lseek":
        places[number] = result if places.get(number) is not None else None
    elif call == "ftruncate":
        yield Operation("truncate", path, place=int(arguments[1]))
    else:
        data = _bytes(arguments[1])[:result]
        place = int(arguments[3]) if call == "pwrite64" else places.get(number)
        yield Operation("write", path, data, place)
        if call == "write" and place is not None:
            places[number] = place + result


def _on_paths(call, arguments, root):
    kind = {"unlinkat": "unlink", "mkdirat": "mkdir", "renameat": "rename", "renameat2": "rename"}.get(call, call)
    if kind == "unlink" and "AT_REMOVEDIR" in arguments[-1]:
        kind = "rmdir"
    paths = [_within(path, root) for path in _paths(arguments)]
    if all(path is None for path in paths):
        return
    # What this program does not do to its folders is not done again in silence.
    if kind not in ("rename", "unlink", "mkdir", "rmdir") or None in paths:
        raise RunError(f"strace: expected operations within the folder, got {call} of {paths}")
    yield Operation(kind, paths[0], paths[1] if kind == "rename" else b"")


def _paths(arguments):
    """The paths of a call, str, each joined to the folder that strace names before it, as in `AT_FDCWD</tmp>`."""
    base, found = "", []
    for argument in arguments:
        if argument.startswith('"'):
            found.append(os.path.join(base, os.fsdecode(_bytes(argument))))
        elif "<" in argument:
            base = _file(argument)
    return found


def _file(text):
    """The path that strace writes after an open file's number, as `3</path>`, or alone; "" without one."""
    return os.fsdecode(_bytes(text))


def _bytes(text):
    """The bytes of strace's hexadecimal text."""
    found = TEXT.search(text)
    return bytes.fromhex(found[0].replace("\\x", "")) if found else b""


def _within(path, root):
    """A path relative to the folder, "." for itself; None where it lies elsewhere."""
    if path + os.sep == root:
        return "."
    return path[len(root) :] if path.startswith(root) else None


def apply(operation, folder):
    """Do an operation to another folder.

    Args:
        operation: Operation.
        folder: Path.
    Returns:
        Whether anything changed.
    """
    path = Path(folder, operation.path)
    if operation.kind == "make":
        if path.exists() and (operation.place is None or not path.stat().st_size):
            return False
        path.open("w").close()
    elif operation.kind == "write":
        _write(path, operation)
    elif operation.kind == "truncate":
        if path.stat().st_size == operation.place:
            return False
        os.truncate(path, operation.place)
    elif operation.kind == "rename":
        os.replace(path, Path(folder, operation.data))
    else:
        {"unlink": os.unlink, "mkdir": os.mkdir, "rmdir": os.rmdir}[operation.kind](path)
    return True


def _write(path, operation):
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END) if operation.place is None else file.seek(operation.place)
        file.write(operation.data)
