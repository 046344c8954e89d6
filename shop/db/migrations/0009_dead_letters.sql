-- Reading what others wrote: none of these functions raises an error, whatever it is given.

-- A document of the log or of a dead letter; NULL where it is not JSON, not UTF-8, or holds what jsonb cannot (\u0000).
CREATE FUNCTION json_body(body bytea) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN convert_from(body, 'UTF8')::jsonb;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$$;

-- ->> raises an error at an escape that PostgreSQL cannot store, anywhere in the document: such a document has no members.
CREATE FUNCTION json_member(document json, name text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN strpos(document::text, '\u') = 0 OR pg_input_is_valid(document::text, 'jsonb') THEN document ->> name
    END
$$;

CREATE FUNCTION to_numeric(digits text) RETURNS numeric LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN digits ~ '^-?[0-9]{1,40}([.][0-9]{1,40})?$' THEN digits::numeric END
$$;

CREATE FUNCTION to_sequence(digits text) RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN digits ~ '^0*[0-9]{1,18}$' THEN digits::bigint END
$$;

-- A dead letter can always be stored: raw is the event as it came. trigger, source and event_id are its key: what is too
-- long or cannot be stored as text stands there shortened, with its SHA-256. event is the same as JSON, for those who
-- read with SQL; NULL where PostgreSQL cannot read it. raw is NULL where an older version wrote the row.
ALTER TABLE dead_letters
    ALTER COLUMN event DROP NOT NULL,
    ADD COLUMN raw            bytea,
    ADD COLUMN partitionkey   text,
    ADD COLUMN replay_due_at  timestamptz,        -- on a cluster, where relay replays: when it is to be sent
    ADD COLUMN discarded_at   timestamptz,
    ADD COLUMN discarded_by   text,
    ADD COLUMN discarded_why  text;
UPDATE dead_letters SET partitionkey = json_member(event, 'partitionkey');
CREATE INDEX dead_letters_open ON dead_letters (dead_letter_id) WHERE replayed_at IS NULL AND discarded_at IS NULL;
CREATE INDEX dead_letters_replay ON dead_letters (replay_due_at) WHERE replay_due_at IS NOT NULL;

-- As before, over a log that may hold anything.
CREATE OR REPLACE FUNCTION complete_order_history() RETURNS bigint LANGUAGE sql AS $$
    WITH said AS (
        SELECT o.order_id, o.path, o.buyer_id, to_sequence(json_member(e.extensions, 'sequence')) AS sequence, e.time, e.xid,
            e.source, json_member(e.extensions, 'causationid') AS caused_by, split_part(e.type, '.', 4) AS step, o.cancel_reason,
            CASE e.type
                WHEN 'ecommerce.order.order.created.v1' THEN upper(json_member(e.extensions, 'orderstatus'))
                WHEN 'ecommerce.order.order.confirmed.v1' THEN 'CONFIRMED'
                WHEN 'ecommerce.order.order.paid.v1' THEN 'PAID'
                WHEN 'ecommerce.order.order.fulfilled.v1' THEN 'FULFILLED'
                WHEN 'ecommerce.order.order.canceled.v1' THEN 'CANCELED'
            END AS status
        FROM outbox e JOIN orders o ON o.order_id::text = e.partitionkey
        WHERE (e.type LIKE 'ecommerce.order.order.%' OR e.type LIKE 'ecommerce.payment.%')
            AND e.source LIKE '/pulsecart/%' AND json_member(e.extensions, 'sequence') ~ '^0*[0-9]{1,18}$'
    ), carried AS (
        SELECT *, count(status) OVER (PARTITION BY order_id ORDER BY sequence) AS stretch FROM said
    ), whole AS (
        SELECT *, max(status) OVER (PARTITION BY order_id, stretch) AS status_then FROM carried
    ), written AS (
        INSERT INTO order_status_history (order_id, sequence, status, happened_at, actor, caused_by, xid)
        SELECT order_id, sequence, status_then, coalesce(time, now()),
            CASE WHEN source = '/pulsecart/checkout' OR cancel_reason = 'BUYER' AND step = 'canceled'
                THEN 'buyer:' || buyer_id ELSE 'operation:' || split_part(source, '/', 3) END,
            caused_by, xid
        FROM whole
        WHERE status_then IN ('PENDING', 'CONFIRMED', 'PAID', 'FULFILLED', 'CANCELED') AND NOT (sequence = 1 AND status_then = 'CONFIRMED')
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT count(*) FROM written
$$;
