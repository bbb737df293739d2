"""The document names every attack."""

from pathlib import Path

from siege.attacks.kinds import NAMES

DOCUMENT = Path(__file__).parents[2] / "docs/stress-tests.md"


def test_each_attack_is_named() -> None:
    _, _, section = DOCUMENT.read_text().partition("## Under siege")
    section = " ".join(section.partition("\n## ")[0].split())
    assert [name for name in NAMES if name not in section] == []
