-- each buyer's counter of a flash sale with a limit is the sum of the units that they hold or have bought in it
SELECT sale_id, buyer_id, counted.units AS counted, live_sale.units
FROM sale_units counted FULL JOIN live_sale USING (sale_id, buyer_id) JOIN flash_sales f USING (sale_id)
WHERE f.buyer_limit > 0 AND coalesce(counted.units, 0) <> coalesce(live_sale.units, 0)
