-- each stock event's available is the one before plus its delta
SELECT product_id, seq AS sequence, before, delta, available
FROM (
    SELECT *, lag(available, 1, 0::numeric) OVER (PARTITION BY product_id ORDER BY seq, position) AS before
    FROM adjusted
) AS steps
WHERE (before + delta = available) IS NOT TRUE
