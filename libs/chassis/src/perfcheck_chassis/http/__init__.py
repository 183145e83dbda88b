"""A service at the HTTP edge, on Litestar: problems, health, metrics, guards, limits."""

from perfcheck_chassis.http.answers import NEVER_STORED, AnyRequest, json_answer
from perfcheck_chassis.http.application import create_litestar
from perfcheck_chassis.http.authorization import caller_of, requires
from perfcheck_chassis.http.health import Check, Health, health_routes
from perfcheck_chassis.http.metrics import metrics_route
from perfcheck_chassis.http.problems import Problem, problem_handlers
from perfcheck_chassis.http.request_limit import RequestTimeLimit

__all__ = [
    "NEVER_STORED",
    "AnyRequest",
    "Check",
    "Health",
    "Problem",
    "RequestTimeLimit",
    "caller_of",
    "create_litestar",
    "health_routes",
    "json_answer",
    "metrics_route",
    "problem_handlers",
    "requires",
]
