"""The operations kit, checked by systemd, Prometheus' promtool and Kubernetes' schemas."""

import json
import re
import sysconfig
from pathlib import Path

import pytest
import yaml
from support.programs import attempt, output, require

KIT = Path(__file__).parents[2] / ".deploy"
PROGRAM = "/opt/tasks-backend/current/bin/tasks-backend"
SCRIPTS = Path(sysconfig.get_path("scripts"))
MOST_EXPOSED = "15"  # tenths of systemd's scale, whose worst is 100


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units with a program that exists; the instance is that of port 8000."""
    require("systemd-analyze")
    found = []
    for path in KIT.glob("*.service"):
        unit = tmp_path / path.name.replace("@", "@8000")
        unit.write_text(path.read_text().replace(PROGRAM, str(SCRIPTS / "tasks-backend")))
        found.append(unit)
    return found


def test_systemd_understands_every_line_of_the_units(units: list[Path]) -> None:
    checked = attempt("systemd-analyze", "verify", *units)
    said = checked.stdout + checked.stderr
    assert not [line for line in said.splitlines() if "tasks-backend" in line]
    units[0].write_text(units[0].read_text().replace("ProtectClock=", "ProtectClocks="))
    assert "ProtectClocks" in attempt("systemd-analyze", "verify", *units).stderr


def test_the_units_are_hardened(units: list[Path]) -> None:
    assert len(units) == 2
    for unit in units:
        output("systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", unit)


def test_promtool_accepts_the_alerts_and_each_does_as_its_test_says() -> None:
    require("promtool")
    output("promtool", "check", "rules", KIT / "alerts.yaml")
    output("promtool", "test", "rules", KIT / "alerts.test.yaml")


def test_promtool_parses_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    require("promtool")
    dashboard = json.loads((KIT / "dashboard.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    shown += [each["expr"] for each in dashboard["annotations"]["list"]]
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(shown)
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in output("promtool", "check", "rules", path)


def test_the_manifests_are_valid_for_kubernetes(tmp_path: Path) -> None:
    validate = SCRIPTS / "kubernetes-validate"
    require(str(validate))
    files = sorted(KIT.glob("kubernetes*.yaml"))
    said = output(validate, "--strict", *files)
    resources = [each for path in files for each in yaml.safe_load_all(path.read_text())]
    assert len(re.findall("passed for resource", said)) == len(resources) == 6
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(files[-1].read_text().replace("maxSurge", "maxSurges"))
    assert attempt(validate, "--strict", wrong).returncode == 1
