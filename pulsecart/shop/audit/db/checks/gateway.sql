-- the simulated gateway has exactly the charges and refunds that the payments record
SELECT coalesce(c.idempotency_key, p.payment_id::text) AS payment_id, p.order_id, o.status, p.status AS payment,
    c.status AS gateway, p.amount_minor, c.amount_minor AS gateway_minor
FROM simulated_gateway.charges c
FULL JOIN payments p ON p.payment_id::text = c.idempotency_key
LEFT JOIN orders o USING (order_id)
WHERE (c.status = 'CHARGED') IS NOT TRUE AND p.status = 'CHARGED' AND starts_with(p.gateway_ref, 'sim_')
        AND NOT EXISTS (SELECT FROM waiting WHERE partitionkey = p.order_id::text)
    OR (c.status = 'REFUNDED') IS NOT TRUE AND p.status = 'REFUNDED' AND starts_with(p.gateway_ref, 'sim_')
    OR c.status = 'CHARGED' AND (p.status IN ('CHARGED', 'INTENDED')) IS NOT TRUE
    OR c.status = 'CHARGED' AND (c.amount_minor = p.amount_minor AND c.currency = p.currency) IS NOT TRUE
