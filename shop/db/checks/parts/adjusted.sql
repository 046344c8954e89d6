-- Every stock event, read.
SELECT partitionkey AS product_id, position,
    CASE WHEN extensions ->> 'sequence' ~ '^0*[0-9]{1,18}$' THEN (extensions ->> 'sequence')::bigint END AS seq,
    (body ->> 'delta')::bigint AS delta, (body ->> 'available')::bigint AS available, body ->> 'reason' AS reason
FROM (
    SELECT *, convert_from(data, 'UTF8')::jsonb AS body
    FROM outbox
    WHERE type = 'ecommerce.inventory.stock.adjusted.v1' AND source LIKE '/pulsecart/%%'
) AS events
