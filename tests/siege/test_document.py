"""The document lists the attacks correctly."""

import re
from pathlib import Path

from siege.attacks.kinds import ATTACKS

DOCUMENT = Path(__file__).parents[2] / "docs/reliability.md"
ROW = r"^\| ([^|]+) \| [^|]+ \| (\d+) \| (\d+)( and the number of places)? \|$"


def test_each_attack_is_listed_with_its_bounds() -> None:
    _, _, section = DOCUMENT.read_text().partition("## Under siege")
    listed = {
        name: (float(rate), int(sockets), bool(more))
        for name, rate, sockets, more in re.findall(ROW, section, re.MULTILINE)
    }
    assert listed == {
        name: (attack.rate, attack.sockets, attack.crowds) for name, attack in ATTACKS.items()
    }
