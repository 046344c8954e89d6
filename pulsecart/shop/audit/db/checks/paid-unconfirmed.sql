-- every paid order was confirmed before
SELECT o.order_id, status, confirmed, paid
FROM orders o LEFT JOIN told ON told.order_id = o.order_id::text
WHERE status IN ('PAID', 'FULFILLED') AND (confirmed < paid) IS NOT TRUE
