"""Estimators, intervals and tests: pure functions on arrays. ``docs/statistics.md`` says which answers what."""

from bench.stats.aggregates import iqm, iqm_success, mean_success, optimality_gap, performance_profile
from bench.stats.difference import mean_difference
from bench.stats.gate import ALPHA, MARGIN, Judgement, Verdict, judge
from bench.stats.intervals import Estimate, clopper_pearson, jeffreys, wilson
from bench.stats.multiple import benjamini_hochberg, holm
from bench.stats.paired import (
    NonInferiority,
    Paired,
    boschloo,
    loss_by_task,
    mcnemar,
    mcnemar_loss,
    noninferiority,
    sign_flip,
)
from bench.stats.ranking import Ranking, probability_of_improvement, rank
from bench.stats.ratios import geometric_ratio
from bench.stats.selection import TopMean, best_evaluations, paper_top5
from bench.stats.times import RunRatio, SuccessTimes, ratio_between_runs, ratio_of_medians, time_to_success

__all__ = [
    "ALPHA",
    "MARGIN",
    "Estimate",
    "Judgement",
    "NonInferiority",
    "Paired",
    "Ranking",
    "RunRatio",
    "SuccessTimes",
    "TopMean",
    "Verdict",
    "benjamini_hochberg",
    "best_evaluations",
    "boschloo",
    "clopper_pearson",
    "geometric_ratio",
    "holm",
    "iqm",
    "iqm_success",
    "jeffreys",
    "judge",
    "loss_by_task",
    "mcnemar",
    "mcnemar_loss",
    "mean_difference",
    "mean_success",
    "noninferiority",
    "optimality_gap",
    "paper_top5",
    "performance_profile",
    "probability_of_improvement",
    "rank",
    "ratio_between_runs",
    "ratio_of_medians",
    "sign_flip",
    "time_to_success",
    "wilson",
]
