"""Conformance kits for methods and tasks of your own: call them from your tests.

Each checks what the harness relies on and raises `AssertionError` at the first departure: what was seen, and what to
do about it. ``docs/add-a-method.md`` and ``docs/add-a-task.md`` show them at work.
"""

from bench.testing.method import check_method
from bench.testing.task import check_task

__all__ = ["check_method", "check_task"]
