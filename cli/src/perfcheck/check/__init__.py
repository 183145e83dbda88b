"""`perfcheck check`: measure, compare with budgets, give a verdict."""
