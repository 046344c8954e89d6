-- The shop's tables. Amounts are integers in minor units; times are UTC.

CREATE TABLE products (
    product_id   text PRIMARY KEY,
    sku          text NOT NULL UNIQUE,
    name         text NOT NULL,
    description  text NOT NULL DEFAULT '',
    price_minor  bigint NOT NULL CHECK (price_minor >= 0),
    currency     text NOT NULL DEFAULT 'USD' CHECK (currency ~ '^[A-Z]{3}$'),
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- version is the sequence of the product's stock events; epoch names the one gate whose claims may commit.
CREATE TABLE stock (
    product_id   text PRIMARY KEY REFERENCES products,
    available    int NOT NULL CHECK (available >= 0),
    buyer_limit  int NOT NULL DEFAULT 0 CHECK (buyer_limit >= 0),  -- 0: none
    epoch        bigint NOT NULL DEFAULT 0,
    version      bigint NOT NULL DEFAULT 0
);

CREATE TABLE inventory_adjustment (
    adjustment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id    text NOT NULL REFERENCES stock,
    delta         int NOT NULL,
    reason        text NOT NULL CHECK (reason IN ('INITIAL', 'RESET')),
    adjusted_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE flash_sales (
    sale_id      text PRIMARY KEY,
    product_id   text NOT NULL REFERENCES products,
    price_minor  bigint NOT NULL CHECK (price_minor >= 0),
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL CHECK (ends_at > starts_at),
    status       text NOT NULL DEFAULT 'SCHEDULED' CHECK (status IN ('SCHEDULED', 'STARTED', 'ENDED'))
);
CREATE UNIQUE INDEX flash_sales_open ON flash_sales (product_id) WHERE status <> 'ENDED';

-- One row, locked by whoever starts or ends a sale: its version is the sequence of the sales' events.
CREATE TABLE sale_calendar (
    one_row  boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    version  bigint NOT NULL DEFAULT 0
);
INSERT INTO sale_calendar DEFAULT VALUES;

CREATE TABLE orders (
    order_id        uuid PRIMARY KEY,
    buyer_id        text NOT NULL,
    status          text NOT NULL CHECK (status IN ('PENDING', 'CONFIRMED', 'PAID', 'FULFILLED', 'CANCELED')),
    total_minor     bigint NOT NULL CHECK (total_minor >= 0),
    currency        text NOT NULL,
    path            text NOT NULL CHECK (path IN ('sync', 'async', 'orders')),
    claim_id        uuid,                         -- the claim that holds its units, once it has been CONFIRMED
    cancel_reason   text,
    version         bigint NOT NULL,              -- the sequence of its newest event
    pay_by          timestamptz,                  -- set while CONFIRMED
    correlation_id  text,
    traceparent     text,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE INDEX orders_due ON orders (pay_by) WHERE status = 'CONFIRMED';
CREATE INDEX orders_pending ON orders (created_at) WHERE status = 'PENDING';

CREATE TABLE order_items (
    order_id     uuid NOT NULL REFERENCES orders,
    line         int NOT NULL,
    product_id   text NOT NULL,
    qty          int NOT NULL CHECK (qty > 0),
    price_minor  bigint NOT NULL,
    PRIMARY KEY (order_id, line)
);

-- A claim on the gate ends here once: won by the order that committed it, or void. One order may need several claims.
CREATE TABLE claims (
    claim_id    uuid PRIMARY KEY,
    state       text NOT NULL CHECK (state IN ('won', 'void')),
    decided_at  timestamptz NOT NULL DEFAULT now()
);

-- One counter per product and buyer for every path.
CREATE TABLE buyer_units (
    product_id  text NOT NULL,
    buyer_id    text NOT NULL,
    units       int NOT NULL CHECK (units >= 0),
    PRIMARY KEY (product_id, buyer_id)
);

CREATE TABLE idempotency_keys (
    scope         bytea PRIMARY KEY,              -- SHA-256 of caller, method, path and key
    payload_hash  bytea NOT NULL,
    order_id      uuid NOT NULL,
    status        int NOT NULL,                   -- the first reply, given again
    body          text NOT NULL,
    created_at    timestamptz NOT NULL
);
CREATE INDEX idempotency_keys_age ON idempotency_keys USING brin (created_at);

CREATE TABLE payments (
    payment_id    uuid PRIMARY KEY,
    order_id      uuid NOT NULL UNIQUE REFERENCES orders,
    status        text NOT NULL CHECK (status IN ('INTENDED', 'CHARGED', 'DECLINED', 'REFUNDED', 'VOIDED')),
    amount_minor  bigint NOT NULL,
    currency      text NOT NULL,
    gateway_ref   text,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);

-- Projection of the order events; rebuilt by replaying them.
CREATE TABLE orders_by_customer (
    customer_id   text NOT NULL,
    order_id      uuid NOT NULL,
    status        text NOT NULL,
    total_minor   bigint,
    currency      text,
    ordered_at    timestamptz,
    updated_at    timestamptz NOT NULL,
    sequence      bigint NOT NULL,
    PRIMARY KEY (customer_id, order_id)
);
