-- an order's status history has its steps: each allowed after the one before, each published, the last its state
SELECT coalesce(o.order_id, h.order_id) AS order_id, o.status, o.version, h.steps, last_status, last_sequence
FROM orders o FULL JOIN (
    SELECT order_id, count(*) AS steps, bool_and(allowed) AS allowed, min(sequence) AS first_sequence,
        max(sequence) AS last_sequence, (array_agg(status ORDER BY sequence DESC))[1] AS last_status,
        min(sequence) FILTER (WHERE status = 'CONFIRMED') AS confirmed,
        min(sequence) FILTER (WHERE status = 'PAID') AS paid,
        min(sequence) FILTER (WHERE status = 'FULFILLED') AS fulfilled,
        min(sequence) FILTER (WHERE status = 'CANCELED') AS canceled
    FROM (
        SELECT *, coalesce(
            before = status OR (before, status) IN (
                ('PENDING', 'CONFIRMED'), ('PENDING', 'CANCELED'), ('CONFIRMED', 'PAID'), ('CONFIRMED', 'CANCELED'),
                ('PAID', 'FULFILLED'), ('PAID', 'CANCELED')
            ),
            (status, sequence) IN (('PENDING', 1), ('CONFIRMED', 2))
        ) AS allowed
        FROM (
            SELECT order_id, sequence, status, lag(status) OVER (PARTITION BY order_id ORDER BY sequence) AS before
            FROM order_status_history
        ) AS read
    ) AS judged
    GROUP BY order_id
) AS h ON h.order_id = o.order_id
LEFT JOIN order_events ON order_events.order_id = h.order_id::text
WHERE (
    allowed AND h.steps = version - first_sequence + 1 AND last_sequence = version AND last_status = o.status
    AND h.confirmed IS NOT DISTINCT FROM order_events.confirmed AND h.paid IS NOT DISTINCT FROM order_events.paid
    AND h.fulfilled IS NOT DISTINCT FROM order_events.fulfilled AND h.canceled IS NOT DISTINCT FROM order_events.canceled
) IS NOT TRUE
