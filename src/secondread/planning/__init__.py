"""A study file written for a data set: the audit and this machine's pace decide, and each line says why."""

from secondread.planning.making import Plan, plan

__all__ = ["Plan", "plan"]
