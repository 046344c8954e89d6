-- an order's events count from 1 to its version, no gap or repeat, each step after the one it needs, the last its state
SELECT order_id, status, version, events, created, confirmed, paid, fulfilled, canceled
FROM order_events FULL JOIN (SELECT order_id::text, status, version FROM orders) AS o USING (order_id)
WHERE (
    events = version AND version < 62 AND numbers = (1::bigint << least(version + 1, 62)::int) - 2
    AND steps = num_nonnulls(created, confirmed, paid, fulfilled, canceled)
    AND created = 1
    AND coalesce(confirmed, 2) > created
    AND (paid IS NULL OR paid > confirmed)
    AND (fulfilled IS NULL OR fulfilled > paid AND canceled IS NULL)
    AND (canceled IS NULL OR canceled > greatest(created, confirmed, paid))
    AND status = CASE
        WHEN canceled IS NOT NULL THEN 'CANCELED'
        WHEN fulfilled IS NOT NULL THEN 'FULFILLED'
        WHEN paid IS NOT NULL THEN 'PAID'
        WHEN confirmed IS NOT NULL THEN 'CONFIRMED'
        ELSE 'PENDING'
    END
) IS NOT TRUE
