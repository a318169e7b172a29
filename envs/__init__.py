"""The tasks: 57 rows of `tasks.toml`, one module or folder per suite, and what they share.

``make(task_id)`` builds a task; `specs`, `select` and `unavailable` say what there is. Importing this package imports
no simulator, and registers every available task with Gymnasium as ``visuomotor/<suite>-<name>-v1``.
"""

from envs.gym import register
from envs.registry import broken_plugins, make, select, specs, unavailable

__all__ = ["broken_plugins", "make", "register", "select", "specs", "unavailable"]

register()
