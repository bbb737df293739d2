"""Regenerate docs/postman: `PYTHONPATH=tests python -m postman`."""

from postman.files import FILES, text

for path in FILES:
    path.write_text(text(path))
