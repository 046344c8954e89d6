-- an order has lines, and its total is their sum
SELECT order_id, status, total_minor, lines_minor
FROM orders LEFT JOIN (
    SELECT order_id, sum(qty::numeric * price_minor) AS lines_minor FROM order_items GROUP BY order_id
) AS lines USING (order_id)
WHERE lines_minor IS DISTINCT FROM total_minor
