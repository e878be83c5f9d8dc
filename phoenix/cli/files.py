"""What commands read from files."""

import json
from pathlib import Path
from typing import Any

import typer

from phoenix.cli.client import Refused


def read_text(file: Path) -> str:
    """The text in a file.

    Raises:
        BadParameter: it cannot be read.
        Refused: it is not text.
    """
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refused(f"{file} is not UTF-8 text") from None


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        BadParameter: it cannot be read.
        Refused: it is not JSON, or no object.
    """
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise Refused(f"{file} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise Refused(f"{file} holds no JSON object")
    return content
