-- orders_by_customer has each order's customer, is never ahead of an order, and agrees at the same version
SELECT order_id, p.customer_id, p.sequence, o.version, p.status AS shown, o.status
FROM orders_by_customer p LEFT JOIN orders o USING (order_id)
WHERE (
    p.customer_id = o.buyer_id
    AND (p.sequence < o.version OR p.sequence = o.version AND p.status = o.status)
) IS NOT TRUE
