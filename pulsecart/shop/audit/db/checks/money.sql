-- the gateway's charges are the payments less the refunds, and an order is paid once, its total
SELECT order_id, status, payment, charged_minor, paid_minor, refunded_minor, times_paid, paid_event_minor, total_minor
FROM (
    SELECT o.order_id, o.status, o.total_minor, p.status AS payment, p.gateway_ref,
        coalesce((p.status IN ('CHARGED', 'REFUNDED'))::int * p.amount_minor, 0) AS paid_minor,
        coalesce(c.charged, 0) AS charged_minor, coalesce(s.refunded, 0) AS refunded_minor,
        coalesce(s.times_paid, 0) AS times_paid, s.paid AS paid_event_minor
    FROM orders o
    LEFT JOIN payments p USING (order_id)
    LEFT JOIN (
        SELECT idempotency_key, amount_minor AS charged FROM simulated_gateway.charges WHERE status = 'CHARGED'
    ) AS c ON c.idempotency_key = p.payment_id::text
    LEFT JOIN (
        SELECT partitionkey, count(*) FILTER (WHERE name = 'paid') AS times_paid,
            sum(minor) FILTER (WHERE name = 'paid') AS paid,
            sum(minor) FILTER (WHERE name = 'refunded') AS refunded
        FROM (
            SELECT partitionkey, split_part(type, '.', 4) AS name, round(
                to_numeric(coalesce(body ->> 'totalAmount', body ->> 'amount'))
                * power(10::numeric, coalesce(minor_units(body ->> 'currency'), 2))
            ) AS minor
            FROM (
                SELECT partitionkey, type, json_body(data) AS body
                FROM outbox
                WHERE type IN ('ecommerce.order.order.paid.v1', 'ecommerce.payment.payment.refunded.v1')
                    AND source LIKE '/pulsecart/%%'
                OFFSET 0  -- each body is read once
            ) AS events
        ) AS amounts
        GROUP BY partitionkey
    ) AS s ON s.partitionkey = o.order_id::text
) AS books
WHERE times_paid > 1
    OR times_paid = 1 AND paid_event_minor IS DISTINCT FROM total_minor
    OR charged_minor <> paid_minor - refunded_minor AND starts_with(gateway_ref, 'sim_')
        AND NOT EXISTS (SELECT FROM waiting WHERE partitionkey = order_id::text)
