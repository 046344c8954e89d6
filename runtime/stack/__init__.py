"""PostgreSQL and Valkey from their wheels, under one data directory: started, found again, stopped."""

from runtime.stack.servers import Stack
from runtime.stack.trouble import CannotStart

__all__ = ["CannotStart", "Stack"]
