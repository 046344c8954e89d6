-- The catalogue: categories and versions, prices over time, what is found by words, what was answered to a key.

CREATE EXTENSION IF NOT EXISTS btree_gist;  -- a trusted one: whoever may create in this database may create it

-- version is the sequence of the product's events. A deleted product stays: lines of orders name it.
ALTER TABLE products
    ADD COLUMN category    text NOT NULL DEFAULT '',
    ADD COLUMN version     bigint NOT NULL DEFAULT 1,
    ADD COLUMN updated_at  timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN deleted_at  timestamptz;
CREATE INDEX products_by_age ON products (created_at, product_id) WHERE deleted_at IS NULL;
CREATE INDEX products_by_name ON products (lower(name), product_id) WHERE deleted_at IS NULL;
CREATE INDEX products_by_price ON products (currency, price_minor, product_id) WHERE deleted_at IS NULL;
CREATE INDEX products_by_category ON products (category) WHERE deleted_at IS NULL;

-- List prices (SCD2): one row per version, valid from its first moment up to the next one's.
CREATE TABLE product_price_history (
    product_id   text NOT NULL REFERENCES products,
    valid_from   timestamptz NOT NULL,
    valid_to     timestamptz CHECK (valid_to > valid_from),  -- NULL: it holds now
    price_minor  bigint NOT NULL CHECK (price_minor >= 0),
    currency     text NOT NULL,
    PRIMARY KEY (product_id, valid_from),
    EXCLUDE USING gist (product_id WITH =, tstzrange(valid_from, valid_to) WITH &&)
);
INSERT INTO product_price_history (product_id, valid_from, price_minor, currency)
SELECT product_id, created_at, price_minor, currency FROM products;

-- Projection of the product events: what a search looks through. Rebuilt from products.
CREATE TABLE product_search (
    product_id   text PRIMARY KEY,
    sequence     bigint NOT NULL,
    deleted      boolean NOT NULL,
    sku          text NOT NULL,
    name         text NOT NULL,
    category     text NOT NULL,
    description  text NOT NULL,
    words        tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('english', name), 'A') || setweight(to_tsvector('simple', sku), 'A')
        || setweight(to_tsvector('english', category), 'B') || setweight(to_tsvector('english', description), 'C')
    ) STORED
);
CREATE INDEX product_search_words ON product_search USING gin (words) WHERE NOT deleted;
INSERT INTO product_search (product_id, sequence, deleted, sku, name, category, description)
SELECT product_id, version, false, sku, name, category, description FROM products;

-- The first reply to an Idempotency-Key of whoever keeps the catalogue.
CREATE TABLE catalogue_keys (
    scope         bytea PRIMARY KEY,              -- SHA-256 of caller, method, path and key
    payload_hash  bytea NOT NULL,
    status        int NOT NULL,
    body          text NOT NULL,
    location      text NOT NULL,
    created_at    timestamptz NOT NULL
);

-- version is the sequence of the sale's newest event, 0 before there is one; warmed_at: its gate was made ready.
ALTER TABLE flash_sales
    ADD COLUMN version    bigint NOT NULL DEFAULT 0,
    ADD COLUMN warmed_at  timestamptz;
CREATE INDEX flash_sales_starts ON flash_sales (starts_at) WHERE status = 'SCHEDULED';
CREATE INDEX flash_sales_ends ON flash_sales (ends_at) WHERE status = 'STARTED';
