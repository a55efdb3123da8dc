"""The worker's lease: `app.index.lease`, which the jobs that run beside the API hold in the same way."""

from app.index.lease import Lease, LeaseLost, LetGo, Stopping

__all__ = ["Lease", "LeaseLost", "LetGo", "Stopping"]
