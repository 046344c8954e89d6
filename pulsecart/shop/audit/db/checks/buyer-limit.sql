-- no buyer has more units than the limit that held when they bought last
SELECT product_id, buyer_id, live.units, coalesce(limit_then, buyer_limit) AS buyer_limit
FROM live JOIN stock USING (product_id) LEFT JOIN buyer_units USING (product_id, buyer_id)
WHERE coalesce(limit_then, buyer_limit) BETWEEN 1 AND live.units - 1
