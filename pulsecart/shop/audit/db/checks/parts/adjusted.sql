-- Every stock event, read.
SELECT partitionkey AS product_id, position,
    to_sequence(json_member(extensions, 'sequence')) AS seq, to_numeric(body ->> 'delta') AS delta,
    to_numeric(body ->> 'available') AS available, body ->> 'reason' AS reason
FROM (
    SELECT *, json_body(data) AS body
    FROM outbox
    WHERE type = 'ecommerce.inventory.stock.adjusted.v1' AND source LIKE '/pulsecart/%%'
    OFFSET 0  -- each body is read once
) AS events
