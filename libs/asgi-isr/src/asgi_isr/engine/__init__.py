"""Puts the parts together: looks up, judges, answers, reports."""
