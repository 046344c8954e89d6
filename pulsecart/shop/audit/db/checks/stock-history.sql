-- a product's stock events count from 1 to its version without gap or repeat, and their deltas sum to what is available
SELECT product_id, version, available, events, first, last, deltas
FROM stock FULL JOIN (
    SELECT product_id, count(*) AS events, count(DISTINCT seq) AS places, min(seq) AS first, max(seq) AS last,
        sum(delta) AS deltas
    FROM adjusted GROUP BY product_id
) AS published USING (product_id)
WHERE (
    coalesce(events, 0) = version AND coalesce(places, 0) = version
    AND coalesce(first, 1) = 1 AND coalesce(last, 0) = version
    AND coalesce(deltas, 0) = available
) IS NOT TRUE
