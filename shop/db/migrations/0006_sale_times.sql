-- Sales of a year that no reader can load are brought back to where they can be changed, and none comes after them.
UPDATE flash_sales SET starts_at = '2999-12-31T23:00Z' WHERE starts_at >= '3000-01-01T00:00Z';
UPDATE flash_sales SET ends_at = '2999-12-31T23:59Z' WHERE ends_at >= '3000-01-01T00:00Z';
ALTER TABLE flash_sales ADD CONSTRAINT flash_sales_years CHECK (ends_at < '3000-01-01T00:00Z');
