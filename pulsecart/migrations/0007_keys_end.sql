-- Idempotency-Keys end: by their age, oldest first.
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX catalogue_keys_by_age ON catalogue_keys (created_at);
