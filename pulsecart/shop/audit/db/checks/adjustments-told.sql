-- per product, the stock changes made by hand add up to those of the published stock events
SELECT product_id, recorded, published
FROM (
    SELECT product_id, sum(delta)::bigint AS recorded FROM inventory_adjustment GROUP BY product_id
) AS a FULL JOIN (
    SELECT product_id, sum(delta) AS published FROM adjusted WHERE reason IN ('INITIAL', 'RESET') GROUP BY product_id
) AS s USING (product_id)
WHERE coalesce(recorded, 0) <> coalesce(published, 0)
