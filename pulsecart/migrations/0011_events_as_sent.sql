-- An event is kept as its sender wrote it: without a content type where it had none, and with the time's own text where
-- that says more than a timestamptz can (nanoseconds, an offset, a leap second).
ALTER TABLE outbox ALTER COLUMN datacontenttype DROP NOT NULL, ADD COLUMN time_text text;

-- Two events of one id from two sources are two events.
ALTER TABLE order_status_history ADD COLUMN caused_by_source text;
