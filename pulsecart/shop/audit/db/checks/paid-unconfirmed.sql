-- every paid order was confirmed before
SELECT o.order_id, status, confirmed, paid
FROM orders o LEFT JOIN order_events ON order_events.order_id = o.order_id::text
WHERE status IN ('PAID', 'FULFILLED') AND (confirmed < paid) IS NOT TRUE
