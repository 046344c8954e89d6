"""The player: a crowd of buyers against a running shop, and the accounts afterwards (``scripts/sale``)."""
