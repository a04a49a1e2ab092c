"""The study of images from a slow bucket: reading ahead hides most of what a request takes."""

import json

from tools.studies import bucket as study


def test_reading_ahead_is_several_times_as_fast(bucket, tmp_path, capsys):
    path = tmp_path / "figures.json"
    assert study.main(["--images=100", "--side=16", "--delay=100", f"--json={path}"]) == 0
    figures = json.loads(path.read_text())
    assert figures == json.loads(capsys.readouterr().out)
    assert figures["bucket_without_reading_ahead"] <= 20 * 2  # A few threads wait 100 ms each.
    assert figures["bucket"] > 2 * figures["bucket_without_reading_ahead"]
    assert figures["disk"] > 0
