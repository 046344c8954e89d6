-- Every order's events as columns, their sequences in them: one pass over the log tells all histories.
-- numbers has bit n set where an event has sequence n; events about its money have their numbers among them.
SELECT partitionkey AS order_id, count(*) AS events, count(step) AS steps,
    bit_or(1::bigint << least(seq, 62)::int) AS numbers,
    max(seq) FILTER (WHERE step = 'created') AS created,
    max(seq) FILTER (WHERE step = 'confirmed') AS confirmed,
    max(seq) FILTER (WHERE step = 'paid') AS paid,
    max(seq) FILTER (WHERE step = 'fulfilled') AS fulfilled,
    max(seq) FILTER (WHERE step = 'canceled') AS canceled
FROM (
    SELECT partitionkey,
        CASE WHEN type LIKE 'ecommerce.order.order.%%' THEN split_part(type, '.', 4) END AS step,
        CASE WHEN extensions ->> 'sequence' ~ '^0*[0-9]{1,18}$' THEN (extensions ->> 'sequence')::bigint END AS seq
    FROM outbox
    WHERE (type LIKE 'ecommerce.order.order.%%' OR type LIKE 'ecommerce.payment.%%') AND source LIKE '/pulsecart/%%'
) AS said
GROUP BY partitionkey
