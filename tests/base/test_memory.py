"""How much memory there is: the machine's, or what its container is limited to."""

import os

from mpl_tf.base import memory


def test_the_machines_memory_or_its_containers_limit(tmp_path, monkeypatch):
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    places = tmp_path / "memory.max", tmp_path / "limit_in_bytes"
    monkeypatch.setattr(memory, "LIMITS", places)
    assert memory.total() == machine
    for text, expected in (("max\n", machine), ("123456\n", 123456), (f"{2**63}\n", machine)):
        places[0].write_text(text)
        assert memory.total() == expected
    places[0].unlink()
    places[1].write_text("7")
    assert memory.total() == 7
