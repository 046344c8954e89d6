-- Each try of each call to the outside that is made for an order: written with its intent, before it is made, and
-- completed with its result. One without a result was under way when its process ended, or is under way now.
CREATE TABLE order_calls (
    order_id   uuid NOT NULL,
    call_id    uuid NOT NULL,                     -- UUIDv7: an order's tries sort by time
    call       text NOT NULL,                     -- charge, refund, void
    operation  text NOT NULL,
    caused_by         text,                       -- the event's id and source; none where a buyer's request did
    caused_by_source  text,
    began_at   timestamptz NOT NULL,
    ended_at   timestamptz,
    result     text,                              -- what was answered (CHARGED, …), or TIMEOUT, UNAVAILABLE, REFUSED, ERROR
    error      text,                              -- NULL where something was answered
    PRIMARY KEY (order_id, call_id)
);
