"""Speed of training, rollouts, point clouds, inference and the harness, each against a plain reference in one run."""
