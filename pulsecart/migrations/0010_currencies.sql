-- Currencies are ISO 4217's. A test compares this table with pulsecart/shop/currencies.py; a later edition of the list comes as
-- CREATE OR REPLACE in a later migration.

-- Decimal digits of a currency's amounts; NULL for what is no currency, or has no minor unit (XAU, XXX).
CREATE FUNCTION minor_units(currency text) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN currency IN (
            'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV', 'XAF',
            'XOF', 'XPF'
        ) THEN 0
        WHEN currency IN (
            'AED', 'AFN', 'ALL', 'AMD', 'AOA', 'ARS', 'AUD', 'AWG', 'AZN', 'BAM', 'BBD', 'BDT', 'BMD', 'BND', 'BOB',
            'BOV', 'BRL', 'BSD', 'BTN', 'BWP', 'BYN', 'BZD', 'CAD', 'CDF', 'CHE', 'CHF', 'CHW', 'CNY', 'COP', 'COU',
            'CRC', 'CUP', 'CVE', 'CZK', 'DKK', 'DOP', 'DZD', 'EGP', 'ERN', 'ETB', 'EUR', 'FJD', 'FKP', 'GBP', 'GEL',
            'GHS', 'GIP', 'GMD', 'GTQ', 'GYD', 'HKD', 'HNL', 'HTG', 'HUF', 'IDR', 'ILS', 'INR', 'IRR', 'JMD', 'KES',
            'KGS', 'KHR', 'KPW', 'KYD', 'KZT', 'LAK', 'LBP', 'LKR', 'LRD', 'LSL', 'MAD', 'MDL', 'MGA', 'MKD', 'MMK',
            'MNT', 'MOP', 'MRU', 'MUR', 'MVR', 'MWK', 'MXN', 'MXV', 'MYR', 'MZN', 'NAD', 'NGN', 'NIO', 'NOK', 'NPR',
            'NZD', 'PAB', 'PEN', 'PGK', 'PHP', 'PKR', 'PLN', 'QAR', 'RON', 'RSD', 'RUB', 'SAR', 'SBD', 'SCR', 'SDG',
            'SEK', 'SGD', 'SHP', 'SLE', 'SOS', 'SRD', 'SSP', 'STN', 'SVC', 'SYP', 'SZL', 'THB', 'TJS', 'TMT', 'TOP',
            'TRY', 'TTD', 'TWD', 'TZS', 'UAH', 'USD', 'USN', 'UYU', 'UZS', 'VED', 'VES', 'WST', 'XAD', 'XCD', 'XCG',
            'YER', 'ZAR', 'ZMW', 'ZWG'
        ) THEN 2
        WHEN currency IN (
            'BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND'
        ) THEN 3
        WHEN currency IN (
            'CLF', 'UYW'
        ) THEN 4
    END
$$;

-- So far two digits were taken for all but JPY, KRW, BHD and KWD. Amounts in other currencies keep their worth: 25000000
-- "hundredths" of VND become 250000 VND, and 112 hundredths of JOD 1120 fils. A fraction of a dong, which cannot be
-- paid, is rounded. The log has decimals, which stay as they are.
CREATE FUNCTION pg_temp.of_now(minor bigint, currency text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN currency IN ('JPY', 'KRW', 'BHD', 'KWD') THEN minor
        ELSE round(minor * power(10::numeric, coalesce(minor_units(currency), 2) - 2))::bigint END
$$;

UPDATE products SET price_minor = pg_temp.of_now(price_minor, currency) WHERE minor_units(currency) <> 2;
UPDATE product_price_history SET price_minor = pg_temp.of_now(price_minor, currency) WHERE minor_units(currency) <> 2;
UPDATE flash_sales f SET price_minor = pg_temp.of_now(f.price_minor, p.currency)
FROM products p WHERE p.product_id = f.product_id AND minor_units(p.currency) <> 2;
UPDATE order_items i SET price_minor = pg_temp.of_now(i.price_minor, o.currency),
    accepted_minor = pg_temp.of_now(i.accepted_minor, o.currency)
FROM orders o WHERE o.order_id = i.order_id AND minor_units(o.currency) <> 2;
UPDATE orders SET total_minor = pg_temp.of_now(total_minor, currency) WHERE minor_units(currency) <> 2;
UPDATE cart_items SET seen_minor = pg_temp.of_now(seen_minor, currency) WHERE minor_units(currency) <> 2;
UPDATE payments SET amount_minor = pg_temp.of_now(amount_minor, currency) WHERE minor_units(currency) <> 2;
UPDATE orders_by_customer SET total_minor = pg_temp.of_now(total_minor, currency) WHERE minor_units(currency) <> 2;
UPDATE simulated_gateway.charges SET amount_minor = pg_temp.of_now(amount_minor, currency)
WHERE minor_units(currency) <> 2;

-- NOT VALID: a product of an invented currency that is here already stays readable, and can be deleted. An order has no
-- currency before its price is known.
ALTER TABLE products DROP CONSTRAINT products_currency_check;
ALTER TABLE products ADD CONSTRAINT products_currency
    CHECK (deleted_at IS NOT NULL OR minor_units(currency) IS NOT NULL) NOT VALID;
ALTER TABLE product_price_history ADD CONSTRAINT product_price_history_currency
    CHECK (valid_to IS NOT NULL OR minor_units(currency) IS NOT NULL) NOT VALID;
