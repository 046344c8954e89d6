-- no buyer has more units than the product's limit
SELECT product_id, buyer_id, units, buyer_limit
FROM live JOIN stock USING (product_id)
WHERE buyer_limit > 0 AND units > buyer_limit
