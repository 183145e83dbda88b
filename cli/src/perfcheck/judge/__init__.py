"""Decides: metrics, budgets, statistics over rounds, verdicts, the report. Pure."""
