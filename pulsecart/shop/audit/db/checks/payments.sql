-- a paid order was charged once and in full; no charge of another order is kept or may still be kept
SELECT order_id, o.status, p.status AS payment, p.amount_minor, o.total_minor
FROM orders o FULL JOIN payments p USING (order_id)
WHERE o.status IN ('PAID', 'FULFILLED')
        AND (p.status = 'CHARGED' AND p.amount_minor = o.total_minor AND p.currency = o.currency) IS NOT TRUE
    OR p.status = 'CHARGED' AND o.status IN ('PENDING', 'CONFIRMED')
    OR p.status = 'REFUNDED' AND o.status <> 'CANCELED'
    -- INTENDED: the gateway may have it, and refund is to find out
    OR p.status IN ('CHARGED', 'INTENDED') AND o.status = 'CANCELED'
        AND NOT EXISTS (SELECT FROM waiting WHERE partitionkey = order_id::text)
