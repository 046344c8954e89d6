-- each refunded payment was returned once, and no other payment was
SELECT order_id, p.status AS payment, published
FROM (SELECT order_id::text, status FROM payments) AS p FULL JOIN (
    SELECT partitionkey AS order_id, count(*) AS published
    FROM outbox
    WHERE type = 'ecommerce.payment.payment.refunded.v1' AND source LIKE '/pulsecart/%%'
    GROUP BY partitionkey
) AS r USING (order_id)
WHERE coalesce(published, 0) <> coalesce((p.status = 'REFUNDED')::int, 0)
