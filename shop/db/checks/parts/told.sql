-- Every order's events as columns, their sequences in them: one pass over the log tells all histories.
SELECT partitionkey AS order_id, count(*) AS events,
    max(seq) FILTER (WHERE step = 'created') AS created,
    max(seq) FILTER (WHERE step = 'confirmed') AS confirmed,
    max(seq) FILTER (WHERE step = 'paid') AS paid,
    max(seq) FILTER (WHERE step = 'fulfilled') AS fulfilled,
    max(seq) FILTER (WHERE step = 'canceled') AS canceled
FROM (
    SELECT partitionkey, split_part(type, '.', 4) AS step,
        CASE WHEN extensions ->> 'sequence' ~ '^0*[0-9]{1,18}$' THEN (extensions ->> 'sequence')::bigint END AS seq
    FROM outbox
    WHERE type LIKE 'ecommerce.order.order.%%' AND source LIKE '/pulsecart/%%'
) AS steps
GROUP BY partitionkey
