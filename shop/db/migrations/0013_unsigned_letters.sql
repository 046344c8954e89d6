-- Dead letters whose event had no valid signature: anything that reaches keep-dead-letter can post some, so they are bounded.

ALTER TABLE dead_letters ADD COLUMN signed boolean NOT NULL DEFAULT true;
CREATE INDEX dead_letters_unsigned ON dead_letters (dead_letter_id) WHERE NOT signed;
