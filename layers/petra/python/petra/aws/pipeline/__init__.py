"""The steps of both state machines, as functions; Lambdas and the task call the same."""
