"""What no reader may do, and whether a reader did it."""

from __future__ import annotations

import os
import re
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.interfaces import UserError

SLOW_S = 60.0
"""Seconds by the clock that an input may take."""
WRITES = {
    "os.mkdir": 1, "os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.link": 2, "os.symlink": 2, "os.truncate": 1,
    "os.chmod": 1, "os.chown": 1, "os.utime": 1, "shutil.rmtree": 1,
}  # fmt: skip
"""Audit events of Python, beside ``open``, that change files, and how many paths each begins with."""
NEVER = ("exec", "pickle.find_class", "marshal.loads", "subprocess.Popen", "os.system", "os.exec", "os.fork",
         "os.posix_spawn", "socket.connect")  # fmt: skip
"""Audit events that no reader has a reason for."""


class Guard:
    """Watches what this process asks the system for, by Python's audit events; armed while a file is read."""

    def __init__(self, folder: Path) -> None:
        self._inside, self.armed = os.path.realpath(folder), False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event == "open":
            path, _, flags = arguments
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
                self._check(event, path)
        elif event in WRITES:
            # Relative to an open folder (last argument) is what removes a tree, whose own path was looked at.
            relative = isinstance(arguments[-1], int) and arguments[-1] >= 0
            if event == "os.truncate" or not relative:
                for path in arguments[: WRITES[event]]:
                    self._check(event, path)
        elif event in ("marshal.loads", "exec") and "importlib" in sys._getframe(1).f_code.co_filename:
            pass  # a library imports a module when it first needs it, as `json` does the codec of what it reads
        elif event in NEVER:
            self.seen.append(re.sub(" at 0x[0-9a-f]+", "", f"{event} {arguments!r:.200}"))

    def _check(self, event: str, path: Any) -> None:
        if not isinstance(path, int):
            folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))
            if not os.path.join(os.path.realpath(folder), name).startswith(self._inside + os.sep):
                self.seen.append(f"{event} {os.fsdecode(path)!r}")

    def feed(self, read: Callable[[Any], None], changed: Any) -> tuple[str, str | None]:
        """What became of an input, ``taken``, ``refused`` or ``fault``, and what the reader did that it may not."""
        start, outcome, fault = time.monotonic(), "taken", None
        self.seen.clear()
        self.armed = True
        try:
            read(changed)
        except UserError as error:
            outcome = "refused"
            if len(str(error).splitlines()) != 1:
                fault = f"refused in more than one line: {error!r:.300}"
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-3:]
            calls = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in at)
            outcome, fault = "fault", f"{type(error).__name__} at {calls}: {error!s:.300}"
        finally:
            self.armed = False
        if self.seen:
            fault = f"did what no reader may do: {self.seen[0]}"
        elif time.monotonic() - start > SLOW_S:
            fault = f"took more than {SLOW_S:.0f} s"
        return outcome, fault
