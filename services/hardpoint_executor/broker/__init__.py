"""The only way from an execution to the world: policy, dialling, secrets and the budget of one execution."""
