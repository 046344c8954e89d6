-- Every order's events in one row, their sequences as columns; the log is read once for all orders.
-- numbers has bit n set where an event has sequence n; events about its money have their numbers among them.
SELECT partitionkey AS order_id, count(*) AS events, count(step) AS steps,
    bit_or(1::bigint << least(seq, 62)::int) AS numbers,
    max(seq) FILTER (WHERE step = 'created') AS created,
    max(seq) FILTER (WHERE step = 'confirmed') AS confirmed,
    max(seq) FILTER (WHERE step = 'paid') AS paid,
    max(seq) FILTER (WHERE step = 'fulfilled') AS fulfilled,
    max(seq) FILTER (WHERE step = 'canceled') AS canceled
FROM (
    SELECT partitionkey, step, to_sequence(digits) AS seq
    FROM (
        SELECT partitionkey, json_member(extensions, 'sequence') AS digits,
            CASE WHEN type LIKE 'ecommerce.order.order.%%' THEN split_part(type, '.', 4) END AS step
        FROM outbox
        WHERE (type LIKE 'ecommerce.order.order.%%' OR type LIKE 'ecommerce.payment.%%') AND source LIKE '/pulsecart/%%'
        OFFSET 0
    ) AS steps_of_orders
    OFFSET 0  -- each number is read once, not once for each column above
) AS numbered
GROUP BY partitionkey
