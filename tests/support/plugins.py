"""Plugins that a test writes to a directory, which it puts on PYTHONPATH."""

from pathlib import Path


def install_plugin(directory: Path, name: str, source: str) -> None:
    """Write a module with this source, whose `plugin` is found under its name."""
    (directory / f"{name}.py").write_text(source)
    metadata = directory / f"{name}-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[tasks_backend.plugins]\n{name} = {name}:plugin\n")
