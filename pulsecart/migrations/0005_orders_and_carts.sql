-- What became of each order, step by step. A row for each version; an order that was taken and confirmed in one
-- transaction begins with its second. A row about the order's money has the status of the row before.
-- xid finds the events of that step through the log's own index. No foreign key: it would be looked up for every
-- purchase, and the audit compares the two anyway.
CREATE TABLE order_status_history (
    order_id         uuid NOT NULL,
    sequence         bigint NOT NULL,
    status           text NOT NULL CHECK (status IN ('PENDING', 'CONFIRMED', 'PAID', 'FULFILLED', 'CANCELED')),
    happened_at      timestamptz NOT NULL,
    actor            text NOT NULL,               -- buyer:<id> or operation:<name>
    caused_by        text,                        -- the id of the event that caused it; none where a request did
    idempotency_key  text,                        -- that came with that request
    xid              xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (order_id, sequence)
);

-- Writes what the history lacks, from the log: of orders older than it, and of those that a version before it wrote
-- while this one was being rolled out.
CREATE FUNCTION complete_order_history() RETURNS bigint LANGUAGE sql AS $$
    WITH said AS (
        SELECT o.order_id, o.path, o.buyer_id, (e.extensions ->> 'sequence')::bigint AS sequence, e.time, e.xid,
            e.source, e.extensions ->> 'causationid' AS caused_by, split_part(e.type, '.', 4) AS step, o.cancel_reason,
            CASE e.type
                WHEN 'ecommerce.order.order.created.v1' THEN upper(e.extensions ->> 'orderstatus')
                WHEN 'ecommerce.order.order.confirmed.v1' THEN 'CONFIRMED'
                WHEN 'ecommerce.order.order.paid.v1' THEN 'PAID'
                WHEN 'ecommerce.order.order.fulfilled.v1' THEN 'FULFILLED'
                WHEN 'ecommerce.order.order.canceled.v1' THEN 'CANCELED'
            END AS status
        FROM outbox e JOIN orders o ON o.order_id::text = e.partitionkey
        WHERE (e.type LIKE 'ecommerce.order.order.%' OR e.type LIKE 'ecommerce.payment.%')
            AND e.source LIKE '/pulsecart/%' AND e.extensions ->> 'sequence' ~ '^[0-9]{1,20}$'
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
        WHERE status_then IS NOT NULL AND NOT (sequence = 1 AND status_then = 'CONFIRMED')
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT count(*) FROM written
$$;
SELECT complete_order_history();

-- The unit price that the buyer saw and accepted; none where no price was named.
ALTER TABLE order_items ADD COLUMN accepted_minor bigint;

-- A cart without a buyer is its holder's, who knows its random id.
CREATE TABLE carts (
    cart_id      uuid PRIMARY KEY,
    buyer_id     text,
    status       text NOT NULL DEFAULT 'OPEN' CHECK (status IN ('OPEN', 'ORDERED', 'MERGED')),
    version      bigint NOT NULL DEFAULT 1,       -- raised by every change
    order_id     uuid UNIQUE,                     -- once ORDERED
    expires_at   timestamptz NOT NULL,            -- after that it is as if it were gone, and is removed
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
CREATE UNIQUE INDEX carts_open ON carts (buyer_id) WHERE status = 'OPEN';
CREATE INDEX carts_due ON carts (expires_at);

-- A product that is no longer sold stays in its line, which says so.
CREATE TABLE cart_items (
    cart_id      uuid NOT NULL REFERENCES carts ON DELETE CASCADE,
    product_id   text NOT NULL,
    qty          int NOT NULL CHECK (qty > 0),
    seen_minor   bigint NOT NULL,                 -- the unit price that the buyer was shown
    currency     text NOT NULL,
    added_at     timestamptz NOT NULL,
    PRIMARY KEY (cart_id, product_id)
);
