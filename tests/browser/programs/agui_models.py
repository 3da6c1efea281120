"""Every frame of every run, by the models of ag-ui-protocol. It knows that library, and nothing of ours."""

import json
import sys
from pathlib import Path

from ag_ui.core import Event
from pydantic import TypeAdapter

ADAPTER = TypeAdapter(Event)

for stream in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
    failed = None
    for frame in stream["sent"].split("\n\n")[:-1]:
        try:
            ADAPTER.validate_json(frame.removeprefix("data: "))
        except ValueError as error:
            failed = f"{frame[:300]}: {error}"
            break
    print(json.dumps({"name": stream["name"], "failed": failed}))
