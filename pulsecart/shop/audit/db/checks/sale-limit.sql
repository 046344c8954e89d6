-- no buyer has more units of a flash sale than its limit
SELECT sale_id, buyer_id, live_sale.units, buyer_limit
FROM live_sale JOIN flash_sales USING (sale_id)
WHERE buyer_limit BETWEEN 1 AND live_sale.units - 1
