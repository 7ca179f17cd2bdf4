"""What runs in an installation, and whether it makes progress."""

import json
import urllib.request
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from anamnesis.installation import Installation
from anamnesis.stack.process import alive


def show(installation: Installation, console: Console) -> None:
    """Print processes, then what the gateway says about itself and the read models."""
    record = running_record(installation.data_dir)
    table = Table("process", "pid", "state")
    for name, pid in record.get("processes", {}).items():
        table.add_row(name, str(pid), "runs" if alive(pid) else "dead")
    console.print(table)
    if "url" in record:
        console.print(f"API: {record['url']}/api/v1")
        console.print_json(json.dumps(_health(record["url"])))


def running_record(data_dir: Path) -> dict[str, Any]:
    """What the supervisor wrote down, or nothing."""
    path = data_dir / "run.json"
    record: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return record if alive(record.get("pid", 0)) else {}


def _health(url: str) -> Any:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:  # noqa: S310 - our own address
            return json.load(answer)
    except (OSError, ValueError) as error:
        return {"error": str(error)}
