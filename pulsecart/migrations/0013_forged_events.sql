-- Dead letters whose event had no valid signature: anything that reaches keep-dead-letter can post some, so they are bounded.

ALTER TABLE dead_letters ADD COLUMN signed boolean NOT NULL DEFAULT true;
CREATE INDEX dead_letters_unsigned ON dead_letters (dead_letter_id) WHERE NOT signed;

-- As before, over a log that may hold anything; without events whose sequence was never given out, one of which ended it.
CREATE OR REPLACE FUNCTION complete_order_history() RETURNS bigint LANGUAGE sql AS $$
    WITH said AS (
        SELECT o.order_id, o.path, o.buyer_id, o.version, e.time, e.xid,
            to_sequence(json_member(e.extensions, 'sequence')) AS sequence,
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
            AND e.source LIKE '/pulsecart/%'
    ), carried AS (
        SELECT *, count(status) OVER (PARTITION BY order_id ORDER BY sequence) AS stretch FROM said
        WHERE sequence BETWEEN 1 AND version
    ), whole AS (
        SELECT *, max(status) OVER (PARTITION BY order_id, stretch) AS status_then FROM carried
    ), written AS (
        INSERT INTO order_status_history (order_id, sequence, status, happened_at, actor, caused_by, xid)
        SELECT order_id, sequence, status_then, coalesce(time, now()),
            CASE WHEN source = '/pulsecart/checkout' OR cancel_reason = 'BUYER' AND step = 'canceled'
                THEN 'buyer:' || buyer_id ELSE 'operation:' || split_part(source, '/', 3) END,
            caused_by, xid
        FROM whole
        WHERE status_then IN ('PENDING', 'CONFIRMED', 'PAID', 'FULFILLED', 'CANCELED')
            AND NOT (sequence = 1 AND status_then = 'CONFIRMED')
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT count(*) FROM written
$$;
