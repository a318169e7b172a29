"""Speed of training, rollouts, point clouds, inference and the harness, each against a plain reference in one run."""

from bench.instruction_set import pin

pin()  # as the command line does
