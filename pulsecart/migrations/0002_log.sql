-- The log of everything that happened (the outbox), and what its readers remember.

CREATE TABLE outbox (
    position         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid              xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id               text NOT NULL,
    source           text NOT NULL,
    type             text NOT NULL,
    subject          text,
    time             timestamptz,
    dataschema       text,
    datacontenttype  text NOT NULL DEFAULT 'application/json',
    partitionkey     text NOT NULL,
    extensions       json NOT NULL DEFAULT '{}',   -- sequence, partitionkey, correlationid, traceparent, …
    data             bytea,
    logged_at        timestamptz NOT NULL DEFAULT now()
);
-- How readers find what became visible since their snapshot; position is in it so that listing a window reads no table.
CREATE INDEX outbox_xid ON outbox (xid, position);

-- once(event): an operation has finished this event.
CREATE TABLE consumed (
    operation    text NOT NULL,
    source       text NOT NULL,
    event_id     text NOT NULL,
    consumed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (operation, source, event_id)
);

-- A reader's place: everything visible in window_from is done, and of what window_to adds, all up to position.
CREATE TABLE trigger_cursors (
    trigger      text PRIMARY KEY,
    window_from  pg_snapshot NOT NULL,
    window_to    pg_snapshot NOT NULL,
    position     bigint NOT NULL DEFAULT 0,
    moved_at     timestamptz NOT NULL DEFAULT now(),
    lag_s        real NOT NULL DEFAULT 0           -- when it moved: age of its oldest event not yet dispatched
) WITH (fillfactor = 50);

-- Events that a trigger's cursor has passed but that are not done: failed, still running, or waiting behind one of those
-- (due_at is infinity). attempts above the trigger's retry: nothing is left but the dead letter.
CREATE TABLE trigger_backlog (
    trigger       text NOT NULL,
    position      bigint NOT NULL REFERENCES outbox,
    partitionkey  text NOT NULL,
    attempts      int NOT NULL DEFAULT 0,
    due_at        timestamptz NOT NULL,
    error_code    int,
    error_data    bytea,
    PRIMARY KEY (trigger, position)
);
CREATE INDEX trigger_backlog_due ON trigger_backlog (due_at);

-- A PingSource's newest tick: the worker that moves it on is the one that fires.
CREATE TABLE ping_ticks (
    ping_source  text PRIMARY KEY,
    tick         timestamptz NOT NULL
);

CREATE TABLE dead_letters (
    dead_letter_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    trigger         text NOT NULL,                -- the last part of knativeerrordest
    event_id        text NOT NULL,
    source          text NOT NULL,
    type            text NOT NULL,
    event           json NOT NULL,                -- structured CloudEvent, knativeerror… included
    error_dest      text,
    error_code      int,
    error_data      text,
    received_at     timestamptz NOT NULL DEFAULT now(),
    replayed_at     timestamptz,
    UNIQUE (trigger, source, event_id)
);
