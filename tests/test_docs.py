"""What the repository says of itself in files for people: licence and citation."""

import configparser
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent


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
