"""The results of the study of the filtering tool as a page."""


def _swapped(choice):
    if choice["ids_equal"] == choice["ids"]:
        return ""
    return f", the others are of images whose probabilities differ by at most {choice['furthest']:.0e}"


def markdown(results):
    """The results as a page."""
    choice, planted, memory, killed = (results[part] for part in ("choice", "planted", "memory", "killed"))
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    rows = "\n".join(f"| {kind} | {about['images']} | {about['removed']} |" for kind, about in planted["kinds"].items())
    kills = ", ".join(str(one["chunks_scored"]) for one in killed["killed"])
    names = results["choice"]["precision"]
    precision = "\n".join(f"| {name} | {100 * share:.1f} |" for name, share in names.items())
    training, same = results["training"], sum(killed["equal_bytes"].values())
    return f"""# The filtering tool on CIFAR-10

`{results["command"]}`

{machine["cores"]} cores ({machine["machine"]}), load {machine["load_average"][0]:.1f}; {versions}.
The images are a JPEG re-encoding of CIFAR-10. The scorer is a narrow CNN with {100 * results["scorer_test_top1"]:.1f} %
test accuracy.

## The choice

The 50,000 training images as if unlabeled, `--per_class=1000 --exclude=tfds:cifar10/test`: {choice["kept"]} kept,
{choice["left_out"]["overlaps"]} left out as overlaps. {choice["ids_equal"]} of {
        choice["ids"]
    } rows of kept.parquet equal those of a
brute-force reference in numpy in class, rank and id{_swapped(choice)};
the overlaps equal those of comparing all pairs of ImageHash's own hashes, mirror images and smooth pictures included: {
        choice["overlaps_equal"]
    }. Of all training images the scorer is right on {100 * choice["precision_all"]:.1f} %, of those kept on
{100 * choice["precision_kept"]:.1f} %:

| class | right among the kept, % |
|---|---|
{precision}

MPL trained on {training["num_labeled"]} labeled images and `--unlabeled_dir` = these {training["num_unlabeled"]}
({training["steps"]} steps: it runs, no more): test top-1 {100 * training["test"]["top1"]:.1f} % of {
        training["test"]["n"]
    }.

## Planted overlaps

500 test images among the 50,000, changed as said:

| change | planted | removed |
|---|---|---|
{rows}

Of the 50,000 others {planted["innocent_removed"]} were removed ({
        100 * planted["innocent_removed"] / planted["innocent"]:.3f} %); CIFAR-10 has near-duplicates
between its training and its test images, and report.html shows these side by side.

## Memory and kill -9

Largest resident memory: {memory["peak_bytes_10000"] / 2**20:.0f} MiB for 10,000 images, {
        memory["peak_bytes_50000"] / 2**20:.0f} MiB for 50,000
({memory["ratio"]:.2f} times). Killed when {kills} of {
        killed["chunks"]
    } chunks were scored, and started again each time:
{same} of {len(killed["equal_bytes"])} files have the bytes of the undisturbed run ({", ".join(killed["equal_bytes"])}).
"""
