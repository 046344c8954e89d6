-- an order's events are 1 to its version without gap or repeat, each after the one it needs, the last its state
SELECT order_id, status, version, events, created, confirmed, paid, fulfilled, canceled
FROM told FULL JOIN (SELECT order_id::text, status, version FROM orders) AS o USING (order_id)
WHERE (
    events = version AND created = 1
    AND events = num_nonnulls(created, confirmed, paid, fulfilled, canceled)
    AND coalesce(confirmed, 2) = 2
    AND (paid IS NULL OR paid = 3 AND confirmed IS NOT NULL)
    AND (fulfilled IS NULL OR fulfilled = 4 AND paid IS NOT NULL AND canceled IS NULL)
    AND coalesce(canceled, events) = events
    AND status = CASE
        WHEN canceled IS NOT NULL THEN 'CANCELED'
        WHEN fulfilled IS NOT NULL THEN 'FULFILLED'
        WHEN paid IS NOT NULL THEN 'PAID'
        WHEN confirmed IS NOT NULL THEN 'CONFIRMED'
        ELSE 'PENDING'
    END
) IS NOT TRUE
