-- Sales of a year that no reader can load are brought back to where they can be changed, and none comes after them.
UPDATE flash_sales SET starts_at = '2999-12-31T23:00Z' WHERE starts_at >= '3000-01-01T00:00Z';
UPDATE flash_sales SET ends_at = '2999-12-31T23:59Z' WHERE ends_at >= '3000-01-01T00:00Z';
ALTER TABLE flash_sales ADD CONSTRAINT flash_sales_years CHECK (ends_at < '3000-01-01T00:00Z');

-- limit_before: the product's buyer limit that comes back when the sale is over; NULL where the sale brought none.
ALTER TABLE flash_sales ADD COLUMN limit_before int;
-- limit_then: the product's limit when units were last counted here, 0 for none. A limit that is lowered later asks for nothing back.
ALTER TABLE buyer_units ADD COLUMN limit_then int NOT NULL DEFAULT 0;
UPDATE buyer_units b SET limit_then = s.buyer_limit FROM stock s WHERE s.product_id = b.product_id AND b.units <= s.buyer_limit;
