-- a stored reply is that of the order which its key created
SELECT encode(scope, 'hex') AS scope, k.order_id, k.status AS reply, left(k.body, 80) AS body
FROM idempotency_keys k LEFT JOIN orders o USING (order_id)
WHERE o.order_id IS NULL
    OR CASE WHEN k.body IS JSON OBJECT THEN json_member(k.body::json, 'orderId') END IS DISTINCT FROM k.order_id::text
