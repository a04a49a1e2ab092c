"""The throughput of the filter beside its model, on a few images, and its report."""

import json

from tools import benchmark
from tools._benchmark import filter_speed


def test_throughput_of_the_filter(monkeypatch):
    monkeypatch.setattr(filter_speed, "SIZES", {"small_cnn": (8, 32, 8)})
    report = filter_speed.throughput(1)
    assert report["small_cnn_model_images_per_second"] > 0 and report["small_cnn_start_up_seconds"] > 0
    assert 0 < report["small_cnn_ratio_with_start_up"] < abs(report["small_cnn_ratio"])
    ratios = {f"{kind}{part}" for kind in ("ratio", "processor_ratio") for part in ("", "_without_fingerprints")}
    names = {f"small_cnn_{name}" for name in ratios | {"images_per_second", "ratio_with_start_up"}}
    assert names <= set(report) and report["load_average"] > 0


def test_benchmark_reports_the_filter(tmp_path, monkeypatch):
    monkeypatch.setattr(filter_speed, "throughput", lambda repeats: {"ratio": 0.5, "rounds": repeats})
    assert benchmark.main(["--what=filter", "--repeats=4", f"--json={tmp_path / 'f.json'}"]) == 0
    report = json.loads((tmp_path / "f.json").read_text())
    assert (report["what"], report["ratio"], report["rounds"]) == ("filter", 0.5, 4)
