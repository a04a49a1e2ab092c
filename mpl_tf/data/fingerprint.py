"""What a run learned from, in a form that fits into a file: its classes, and a number and digest of each part.

Two data sets with the same fingerprint have the same classes in the same order and the same examples, labels and splits
in the same order, wherever their files lie and whatever flags name them.
"""

from mpl_tf.data import listing

PARTS = ("labeled", "unlabeled", "validation", "test")


def of(dataset):
    """The fingerprint of a data set.

    Args:
        dataset: Dataset.
    Returns:
        dict, as JSON gives it back: "classes", list of str; for each of PARTS None, or a dict of "examples", int, and
        "sha256", str, over the pixels and labels in their order; of streamed examples over the names of their files
        and the place and size of each record there, as reading all of them takes hours. Of own images also "files",
        str, over their names below the folders that were given (and then "sha256" of those that are read from files),
        and "contents", str, over the sizes of the files and some of their bytes (contents.py).
    """
    return of_parts(dataset, PARTS)


def of_parts(dataset, parts):
    """The same of some parts alone."""
    parts = {name: getattr(dataset, name) for name in parts}
    return {"classes": list(dataset.class_names)} | {
        name: None if part is None else _of_part(part) for name, part in parts.items()
    }


def _of_part(part):
    """A number and digests of a part; of own images two, as what is in memory now may be read from its files later."""
    origin = getattr(part, "origin", None)
    if origin is None:
        return {"examples": len(part), "sha256": part.fingerprint()}
    files = origin.names()
    own = files if origin is part else part.fingerprint()
    return {"examples": len(part), "sha256": own, "files": files, "contents": origin.contents()}


def _differing(old, new):
    """What two parts differ in: "examples", "contents" or nothing.

    They are compared by their pixels, or where one is read from files by the names and contents of these.
    """
    if old is None or new is None or old["examples"] != new["examples"]:
        return "" if old == new else "examples"
    from_files = [part["sha256"] == part.get("files") for part in (old, new)]
    if not (any(from_files) and "files" in old and "files" in new):
        return "" if old["sha256"] == new["sha256"] else "examples"
    if old["files"] != new["files"]:
        return "examples"
    # Records of earlier versions know names alone.
    return "contents" if old.get("contents", new["contents"]) != new["contents"] else ""


def changes(before, now, parts=PARTS):
    """What two fingerprints differ in, in words: list of str, empty where they are the same.

    Args:
        before, now: as `of` returns them.
        parts: the parts that count, beside the classes.
    """
    told = _class_changes(before["classes"], now["classes"])
    for name in parts:
        old, new = before.get(name), now[name]  # Records of earlier versions lack a part.
        differing = _differing(old, new)
        if not differing:
            continue
        counts = [0 if part is None else part["examples"] for part in (old, new)]
        # Where the classes changed, other labels follow from that and would be noise.
        if counts[0] != counts[1]:
            told.append(f"{name} examples: {counts[0]} before, {counts[1]} now")
        elif differing == "contents":
            told.append(f"{name} examples: {counts[0]} files of the same names as before, but with other contents")
        elif not told:
            told.append(f"{name} examples: {counts[0]} as before, but others, in another order or with other labels")
    return told


def _class_changes(before, now):
    if before == now:
        return []
    gone = [name for name in before if name not in now]
    new = [name for name in now if name not in before]
    if not gone and not new:
        return [f"classes: {', '.join(before)} before, {', '.join(now)} now"]
    return [f"classes gone: {listing.told(gone)}"] * bool(gone) + [f"classes new: {listing.told(new)}"] * bool(new)
