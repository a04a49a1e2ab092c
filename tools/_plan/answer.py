"""What a plan says of devices: whether a step fits, what would, and how long it takes; and how it is printed."""

from . import estimate, machines

SIZES = {"float32": 4, "mixed_bfloat16": 2, "mixed_float16": 2}
GIB = 2**30
UNLIKELY = 2**14  # Labeled images of a replica, and parts of them, beyond which nothing is looked for.


def step(values, network, report, form, accumulate, labeled=None):
    """A step's bytes a core and operations.

    Args:
        values: the flags.
        network: estimate.Network.
        report: with replicas, cores and labeled.
        form: of --remat.
        accumulate: parts of each pass.
        labeled: images of a replica; None: those of the report.
    Returns:
        dict: bytes, by use; total; flops of all cores.
    """
    cores, labeled = report["cores"], labeled or report["labeled"]
    of_step = estimate.passes(values.method, values.feedback, values.teacher_passes, labeled, values.mu)
    size = SIZES[values.precision]
    parts = estimate.memory(network, cores, values.method, of_step, size, values.average, form, accumulate)
    # What is made again costs the forward pass of every image that has a gradient once more: a third of the rest.
    again = 1 + ((form != "none") + (accumulate > 1)) / 3
    flops = network.flops * of_step.cost * report["replicas"] * again
    return {"bytes": parts, "total": sum(parts.values()), "flops": flops}


def on_devices(values, network, report):
    """What is said of each device that is asked for.

    Args:
        values: plan.Flags.
        network: estimate.Network.
        report: as plan.plan makes it, with its forms.
    Returns:
        dict of the device's name to {"memory": bytes that a step gets, form of --remat: {"fits", "most_labeled",
        "least_accumulate" (None: no number does), "seconds_per_step"}}.
    """
    names = machines.MACHINES if values.device == machines.ALL else [values.device]
    return {name: _on_device(values, network, report, machines.MACHINES[name]) for name in names}


def _on_device(values, network, report, machine):
    memory = (values.core_memory or machine.memory) * GIB * values.usable
    rate = (values.peak_flops or machine.peak) * values.utilisation * report["replicas"] * report["cores"]
    found = {"memory": memory}
    for form, made in report["forms"].items():
        found[form] = {"fits": made["total"] <= memory, "seconds_per_step": made["flops"] / rate}

        def fits(accumulate, labeled, form=form):
            return step(values, network, report, form, accumulate, labeled)["total"] <= memory

        # The bytes grow with the images: the last number that fits is found by halving.
        low, high = 0, UNLIKELY
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if fits(values.accumulate, middle) else (low, middle - 1)
        found[form]["most_labeled"] = low
        labeled = report["labeled"]
        parts = [n for n in range(1, labeled + 1) if labeled % n == 0]
        found[form]["least_accumulate"] = next((n for n in parts if fits(n, labeled)), None)
    return found


def advice(report, device):
    """The first change with which a device takes the step, in words.

    Args:
        report: plan.plan's.
        device: of report["devices"].
    Returns:
        str: flags; or that none are enough, with the labeled images that would do.
    """
    forms = report["forms"]
    # To compute again costs a third, parts one more third: the cheapest first.
    for form in forms:
        if device[form]["fits"]:
            return f"--remat={form}"
    able = [(device[form]["least_accumulate"], form) for form in forms if device[form]["least_accumulate"]]
    if able:
        parts, form = min(able, key=lambda pair: (pair[0], pair[1] != "none"))
        return f"--remat={form} --accumulate={parts}"
    last = list(forms)[-1]
    most = device[last]["most_labeled"]
    if most:
        return f"no: --remat={last} with at most {most} labeled images a replica of {report['labeled']}"
    return "no: not for one labeled image a replica; give more cores a replica"


def show(values, report):
    """Print a plan.

    Args:
        values: plan.Flags.
        report: plan.plan's.
    """
    print(
        f"{report['model']}: {report['weights'] / 1e6:.1f} M weights; images {values.image_size} x {values.image_size} "
        f"over {report['cores']} cores; {report['labeled']} labeled images a replica of {report['replicas']}, "
        f"{values.mu} x as many unlabeled; --teacher_passes={values.teacher_passes}\n"
    )
    forms = report["forms"]
    if values.device == machines.ALL:
        _row("device", ["GiB", *[f"--remat={form}, GiB" for form in forms], "fits with", *_times(values)])
        _row("---", ["---"] * (len(forms) + 2 + len(_times(values))))
        for name, device in report["devices"].items():
            sums = [f"{made['total'] / GIB:.1f}" for made in forms.values()]
            told = advice(report, device)
            form = told.partition("--remat=")[2].partition(" ")[0] or "none"
            lengths = [f"{device[form]['seconds_per_step']:.3g}", *_days(values, [device[form]])]
            _row(name, [f"{machines.MACHINES[name].memory:g}", *sums, told, *lengths])
        return
    (device,) = report["devices"].values()
    _row("a core, GiB", [f"--remat={form}" for form in forms])
    _row("---", ["---"] * len(forms))
    for part in forms["none"]["bytes"]:
        _row(part, [f"{made['bytes'][part] / GIB:.3f}" for made in forms.values()])
    _row("in all", [f"{made['total'] / GIB:.3f}" for made in forms.values()])
    _row(f"fits {device['memory'] / GIB:.3g} GiB", ["yes" if device[form]["fits"] else "no" for form in forms])
    _row("most labeled images a replica", [str(device[form]["most_labeled"]) for form in forms])
    _row("least --accumulate", [str(device[form]["least_accumulate"] or "none") for form in forms])
    _row("FLOPs a step, all cores", [f"{made['flops']:.3g}" for made in forms.values()])
    share = f"at {100 * values.utilisation:g} % of the peak"
    _row(f"seconds a step {share}", [f"{device[form]['seconds_per_step']:.3g}" for form in forms])
    if values.train_steps:
        _row(f"days for {values.train_steps:,} steps", _days(values, [device[form] for form in forms]))
    print(f"\n{values.device}: {advice(report, device)}")


def _times(values):
    return ["seconds a step", *(["days"] if values.train_steps else [])]


def _days(values, devices):
    if not values.train_steps:
        return []
    return [f"{device['seconds_per_step'] * values.train_steps / 86400:.3g}" for device in devices]


def _row(name, cells):
    print("| " + " | ".join([name, *cells]) + " |")
