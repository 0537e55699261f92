"""An evaluation from request to report: the plan, its work units, their execution, and the summary."""
